import pg from 'pg';
import type { DataSource } from 'typeorm';
import { OperatorError } from '../common/errors/operator.error.js';

/** The rights that the application needs on each table, if another role owns them. */
const PRIVILEGES = {
  migrations: ['SELECT'],
  users: ['SELECT', 'INSERT', 'UPDATE'],
  api_keys: ['SELECT', 'INSERT', 'UPDATE'],
  superseded_secrets: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  audit_events: ['SELECT', 'INSERT'],
  credit_entries: ['SELECT', 'INSERT'],
  credit_holds: ['SELECT', 'INSERT', 'UPDATE'],
  user_search_texts: ['SELECT', 'INSERT', 'UPDATE'],
  renamed_users: ['SELECT', 'INSERT', 'DELETE'],
} as const;

export type Table = keyof typeof PRIVILEGES;

export const TABLES = Object.keys(PRIVILEGES) as Table[];

/** SQLSTATE insufficient_privilege. */
export const NOT_ALLOWED = '42501';

/** The role of the connection lacks rights. The message contains the statements that grant them. */
export class MissingPrivilegesError extends OperatorError {}

/**
 * The statements with which the owner of the tables grants a role the rights of the application.
 * Safe to repeat.
 */
export function grantsTo(role: string, schema: string): string[] {
  const [grantee, place] = [pg.escapeIdentifier(role), pg.escapeIdentifier(schema)];
  return [
    `GRANT USAGE ON SCHEMA ${place} TO ${grantee}`,
    ...TABLES.map((table) => `GRANT ${PRIVILEGES[table].join(', ')} ON ${place}.${table} TO ${grantee}`),
  ];
}

/**
 * Checks the rights of the role. Tables that do not exist yet count as granted, and so do grants on
 * single columns.
 *
 * @throws MissingPrivilegesError
 */
export async function refuseMissingPrivileges(database: DataSource, tables: readonly Table[]): Promise<void> {
  const [session] = await database.query<{ role: string; path: string; schema: string | null; hidden: string[] }[]>(
    `SELECT quote_ident(current_user) AS role, current_setting('search_path') AS path, current_schema() AS schema,
            ARRAY(SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, current_user) FROM pg_namespace
                   WHERE nspname = ANY (regexp_split_to_array(replace(current_setting('search_path'), '"', ''), '\\s*,\\s*'))
                     AND NOT has_schema_privilege(oid, 'USAGE')) AS hidden`,
  );
  const { role = '', path = '', schema = null, hidden = [] } = session ?? {};
  if (schema === null) {
    if (hidden.length > 0) throw missing(role, hidden);
    throw new MissingPrivilegesError(`There is no schema of the search_path (${path}) in the database: create it.`);
  }
  const needed = tables.flatMap((table) => PRIVILEGES[table].map((privilege) => [table, privilege] as const));
  const lacking = await database.query<{ statement: string }[]>(
    `SELECT format('GRANT %s ON %s TO %I', string_agg(privilege, ', ' ORDER BY position), to_regclass(relation), current_user) AS statement
       FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS needed (relation, privilege, position)
      WHERE NOT CASE privilege WHEN 'DELETE' THEN has_table_privilege(to_regclass(relation), privilege)
                               ELSE has_any_column_privilege(to_regclass(relation), privilege) END
      GROUP BY relation ORDER BY min(position)`,
    [needed.map(([table]) => table), needed.map(([, privilege]) => privilege)],
  );
  if (lacking.length > 0)
    throw missing(
      role,
      lacking.map(({ statement }) => statement),
    );
}

const missing = (role: string, statements: readonly string[]): MissingPrivilegesError =>
  new MissingPrivilegesError(
    [
      `The role ${role} lacks rights in the database. The owner of the tables grants them with`,
      ...statements.map((statement) => `  ${statement};`),
    ].join('\n'),
  );

/**
 * Checks that the role of the connection owns a table: only its owner may disable its triggers.
 *
 * @throws MissingPrivilegesError
 */
export async function refuseOthersThanOwner(database: DataSource, table: Table): Promise<void> {
  const [found] = await database.query<{ role: string; owner: string; owns: boolean }[]>(
    `SELECT quote_ident(current_user) AS role, relowner::regrole::text AS owner, pg_has_role(relowner, 'USAGE') AS owns
       FROM pg_class WHERE oid = $1::regclass`,
    [table],
  );
  const { role = '', owner = '', owns = false } = found ?? {};
  if (!owns)
    throw new MissingPrivilegesError(
      `The role ${role} may add to ${table} and nothing more. Run this command as ${owner}, which owns the table: name that role in DATABASE_URL.`,
    );
}

/**
 * Explains why the migrations were refused to a role (SQLSTATE 42501).
 *
 * @param said the message of the server, such as "permission denied for schema public"
 */
export async function refusedMigrations(database: DataSource, said: string): Promise<MissingPrivilegesError> {
  const [found] = await database.query<{ role: string; schema: string; owner: string | null; creates: boolean }[]>(
    `SELECT quote_ident(current_user) AS role, quote_ident(current_schema()) AS schema,
            has_schema_privilege(current_schema(), 'CREATE') AS creates,
            (SELECT relowner::regrole::text FROM pg_class
              WHERE oid = to_regclass('users') AND NOT pg_has_role(relowner, 'USAGE')) AS owner`,
  );
  const { role = '', schema = '', owner = null, creates = false } = found ?? {};
  const mend =
    owner === null && !creates
      ? `Grant it what it needs, GRANT CREATE ON SCHEMA ${schema} TO ${role};, or run them as another role`
      : `Run them as ${owner ?? 'the owner of the tables'}`;
  return new MissingPrivilegesError(
    `The role ${role} may not run the migrations: ${said}. ${mend}, with "node dist/src/startup/migrate.js", and start with MIGRATIONS_RUN=false.`,
  );
}
