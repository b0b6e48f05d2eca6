import sql, { empty, raw, type Sql } from 'sql-template-tag';
import type { DataSource } from 'typeorm';
import type { Actor } from '../audit-trail/actor.js';
import { actorColumnNames, actorRows, actorValues } from '../audit-trail/actor-columns.js';
import { type AuditedRow, auditDiff, auditSnapshot, withAudit } from '../audit-trail/with-audit.js';
import { type Columns, selectList } from '../database/columns.js';
import { type Column, Rows } from '../database/rows.js';
import { Statement } from '../database/statement.js';
import type { User, UserStatus } from './user.entity.js';

/* The SQL of `UsersRepository`; test/sql contains the text that is sent. */

export interface NewUser {
  readonly name: string;
  readonly email: string;
  readonly isAdmin: boolean;
  readonly rateLimitPerMinute: number | null;
}

export interface UserChanges {
  readonly name?: string | undefined;
  readonly email?: string | undefined;
  readonly isAdmin?: boolean | undefined;
  readonly status?: UserStatus | undefined;
  /** Requests a minute of all keys together, from 1; null for no limit. */
  readonly rateLimitPerMinute?: number | null | undefined;
}

/** The columns that statements return, and that the export of a user has. */
export const COLUMNS = {
  id: 'id',
  createdAt: 'created_at',
  updatedAt: 'updated_at',
  version: 'version',
  status: 'status',
  isAdmin: 'is_admin',
  name: 'name',
  email: 'email',
  creditsBalance: 'credits_balance',
  rateLimitPerMinute: 'rate_limit_per_minute',
} as const satisfies Columns<Omit<User, 'creditsHeld'>>;

/**
 * The columns that `patch` may change: their types, and the stored value as an expression of the
 * requested one.
 */
const CHANGEABLE = {
  // PostgreSQL's Unicode may be newer than Node's, and the constraint uses PostgreSQL's.
  name: { type: 'text', stored: 'normalize(request.name, NFC)' },
  email: { type: 'text', stored: 'request.email' },
  isAdmin: { type: 'boolean', stored: 'request.is_admin' },
  status: { type: 'text', stored: 'request.status' },
  rateLimitPerMinute: { type: 'integer', stored: 'request.rate_limit_per_minute' },
} as const satisfies Record<keyof UserChanges, { type: string; stored: string }>;

/** A row as `pg` returns it: bigint columns are text. */
export type UserRow = Omit<User, 'creditsBalance'> & { readonly creditsBalance: string };
export type ChangedUserRow = UserRow & AuditedRow;

/** Copies only the named columns: the statements return more than the row. */
export const toUser = (row: UserRow): User => ({
  id: row.id,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
  version: row.version,
  status: row.status,
  isAdmin: row.isAdmin,
  name: row.name,
  email: row.email,
  creditsBalance: Number(row.creditsBalance),
  rateLimitPerMinute: row.rateLimitPerMinute,
});

/** A change of one user. */
export interface Patch {
  readonly id: string;
  readonly changes: UserChanges;
  readonly actor: Actor;
  readonly versions: readonly string[] | undefined;
}

type Field = keyof UserChanges;

const FIELDS = Object.keys(CHANGEABLE) as Field[];

/**
 * The fields whose changes share a statement. A change of any other field may wait for a lock: that
 * of another administrator, or of a user with the same address.
 */
const BATCHED: readonly Field[] = ['name', 'rateLimitPerMinute'];

export const isBatched = (changes: UserChanges): boolean =>
  FIELDS.every((field) => changes[field] === undefined || BATCHED.includes(field));

/** `<column>_given` distinguishes an absent field from a null one. */
const patchRows = (fields: readonly Field[]): Rows<Patch> =>
  new Rows<Patch>({
    id: ['uuid', ({ id }) => id],
    versions: ['text', ({ versions }) => versions && `{${versions.join()}}`],
    ...Object.fromEntries(
      fields.flatMap((field): [string, Column<Patch>][] => [
        [COLUMNS[field], [CHANGEABLE[field].type, ({ changes }) => changes[field]]],
        [`${COLUMNS[field]}_given`, ['boolean', ({ changes }) => changes[field] !== undefined]],
      ]),
    ),
    ...actorRows(({ actor }) => actor),
  });

export const SELECTED = selectList(COLUMNS, 'users');

/** Records the users whose search text must be replaced (migration prepare-user-search). */
const RENAMED = sql`INSERT INTO renamed_users (user_id)
    SELECT audit_user_id FROM changed WHERE audit_changes ?| ARRAY['name', 'email']`;

/**
 * A statement that changes some of these fields in each row.
 *
 * @param locked how to treat rows that other transactions have locked: wait, or skip them
 */
function patchedUsers(fields: readonly Field[], rows: Rows<Patch>, locked: Sql): Sql {
  const each = (text: (column: string, field: Field) => string): Sql =>
    raw(fields.map((field) => text(COLUMNS[field], field)).join(', '));
  return withAudit(
    'user.updated',
    sql`UPDATE users
       SET ${each((column) => `${column} = next.${column}`)},
           version = users.version + comparison.differs::int,
           updated_at = CASE WHEN comparison.differs THEN greatest(clock_timestamp(), users.updated_at + interval '1 ms')
                             ELSE users.updated_at END
      FROM (SELECT request.*, ${each((column) => `target.${column} AS old_${column}`)}
              FROM ${rows.prepared('request')}
              JOIN users AS target ON target.id = request.id
             WHERE request.versions IS NULL OR target.version = ANY (request.versions::bigint[])
               FOR NO KEY UPDATE OF target ${locked}) AS request,
           LATERAL (SELECT ${each(
             (column, field) =>
               `CASE WHEN request.${column}_given THEN ${CHANGEABLE[field].stored} ELSE request.old_${column} END AS ${column}`,
           )}) AS next,
           LATERAL (SELECT (${each((column) => `next.${column}`)}) IS DISTINCT FROM (${each((column) => `request.old_${column}`)}) AS differs) AS comparison
     WHERE users.id = request.id
    RETURNING ${SELECTED}, ${actorColumnNames},
              users.id AS audit_user_id, NULL::uuid AS audit_api_key_id,
              ${auditDiff(
                Object.fromEntries(
                  fields.map((field) => {
                    const column = COLUMNS[field];
                    return [column, [`request.old_${column}`, `users.${column}`]] as const;
                  }),
                ),
              )} AS audit_changes`,
    {
      at: sql`"updatedAt"`, // increases with each change of a row, so its events are in order
      also: { renamed: RENAMED },
    },
  );
}

/**
 * Changes users. The statement determines which fields it changes, and whether it waits for locks.
 */
export type RunPatches = (database: DataSource, patches: readonly Patch[]) => Promise<ChangedUserRow[]>;

function patchStatement(name: string, fields: readonly Field[], locked: Sql): RunPatches {
  const rows = patchRows(fields);
  const statement = new Statement<ChangedUserRow>(name, patchedUsers(fields, rows, locked));
  return (database, patches) => statement.run(database, rows.values(patches));
}

/** Changes any field, and waits for locks. */
export const patchUsers = patchStatement('patch_users', FIELDS, empty);
/** Changes only the fields of `isBatched`, and skips locked rows. */
export const patchUnlockedUsers = patchStatement('patch_unlocked_users', BATCHED, sql`SKIP LOCKED`);

const NEW_USERS = new Rows<NewUser>({
  name: ['text', ({ name }) => name],
  email: ['text', ({ email }) => email],
  is_admin: ['boolean', ({ isAdmin }) => isAdmin],
  rate_limit_per_minute: ['integer', ({ rateLimitPerMinute }) => rateLimitPerMinute],
});

export const SKIP_TAKEN = sql`ON CONFLICT ((lower(email COLLATE "C"))) DO NOTHING`;

export const insertUsers = (
  users: readonly NewUser[],
  by: Actor,
  action: 'user.created' | 'user.created_by_import' = 'user.created',
  onConflict = empty,
): Sql =>
  withAudit(
    action,
    sql`INSERT INTO users (name, email, is_admin, rate_limit_per_minute)
    SELECT normalize(name, NFC), email, is_admin, rate_limit_per_minute
      FROM ${NEW_USERS.of(users, 'request')}
    ${onConflict}
    RETURNING ${SELECTED}, id AS audit_user_id, NULL::uuid AS audit_api_key_id,
              ${auditSnapshot({ name: 'name', email: 'email', status: 'status', is_admin: 'is_admin', rate_limit_per_minute: 'rate_limit_per_minute' })} AS audit_changes`,
    { by },
  );

/** The event of an import, which belongs to no single user. */
export const insertImport = (
  created: number,
  by: Actor,
): Sql => sql`INSERT INTO audit_events (action, changes, ${actorColumnNames})
SELECT 'users.imported', ${auditSnapshot({ users: 'import.created' })}, ${actorValues(by)}
  FROM (SELECT ${created}::int AS created) AS import`;

export const IDS = new Rows<string>({ id: ['uuid', (id) => id] });

/** One row for each id, with nulls for an unknown user: a missing row is therefore a fault. */
export const FIND = new Statement<
  (UserRow & { readonly requestedId: string }) | { readonly requestedId: string; readonly id: null }
>(
  'find_users',
  sql`SELECT request.id AS "requestedId", ${SELECTED}
        FROM ${IDS.prepared('request')}
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true`,
);
