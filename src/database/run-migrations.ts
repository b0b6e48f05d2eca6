import { DataSource, MigrationExecutor, type QueryRunner } from 'typeorm';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';
import { dataSourceOptions } from './data-source.options.js';
import { grantsTo, NOT_ALLOWED, refuseMissingPrivileges, refusedMigrations, type Table } from './privileges.js';
import { UnusableDatabaseError } from './unusable-database.js';

/** What the text of the schema's rules needs, and the oldest server that they are tested with. */
const ENCODING = 'UTF8';
const OLDEST_VERSION = 130_000;

/** Any number that nobody else locks in the same database. */
const MIGRATION_LOCK = 7_573_002;

export class PendingMigrationsError extends Error {
  constructor(names: readonly string[]) {
    super(
      `The database lacks the migrations ${names.join(', ')}. Run "npm run migration:run", or start with MIGRATIONS_RUN=true.`,
    );
    this.name = 'PendingMigrationsError';
  }
}

export interface MigrationOptions {
  /** What the connecting role must have rights on, if it is there already; by default nothing. */
  readonly tables?: readonly Table[];
  /** A role that gets, with the migrations, the rights to run the application on their tables. */
  readonly grantTo?: string | undefined;
}

/**
 * Brings the schema up to date, all or nothing. Safe to repeat and to run from many processes at once: they take turns
 * under a lock of the transaction's, which needs no session and so works through any connection pooler.
 *
 * @returns the names of the migrations that this call ran
 * @throws MissingPrivilegesError, or UnusableDatabaseError for a version or an encoding that is not supported
 */
export async function runMigrations(url: string, { tables = [], grantTo }: MigrationOptions = {}): Promise<string[]> {
  return withDataSource(url, tables, async (dataSource) => {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      await runner.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
      const done = await new MigrationExecutor(dataSource, runner).executePendingMigrations();
      if (grantTo !== undefined) await grant(runner, grantTo);
      await runner.commitTransaction();
      return done.map(({ name }) => name);
    } catch (error) {
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined); // the first error counts
      const { code, message } = error as { readonly code?: unknown; readonly message: string };
      throw code === NOT_ALLOWED ? await refusedMigrations(dataSource, message) : error;
    } finally {
      await runner.release();
    }
  });
}

async function grant(runner: QueryRunner, role: string): Promise<void> {
  const [{ schema }] = (await runner.query('SELECT current_schema() AS schema')) as [{ schema: string }];
  for (const statement of grantsTo(role, schema)) await runner.query(statement);
}

/**
 * Needs no right to change the schema.
 *
 * @param tables what the connecting role must have rights on
 * @throws PendingMigrationsError unless the schema is up to date; MissingPrivilegesError, UnusableDatabaseError
 */
export async function refusePendingMigrations(url: string, tables: readonly Table[] = ['migrations']): Promise<void> {
  const pending = await withDataSource(url, tables, (dataSource) =>
    new MigrationExecutor(dataSource).getPendingMigrations(),
  );
  if (pending.length > 0) throw new PendingMigrationsError(pending.map(({ name }) => name));
}

async function withDataSource<T>(
  url: string,
  tables: readonly Table[],
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const dataSource = new DataSource(dataSourceOptions(url));
  try {
    await dataSource.initialize();
  } catch (error) {
    throw new DatabaseUnreachableError(error);
  }
  try {
    await refuseUnsupported(url, dataSource);
    // First of all, since a table without rights on it looks to TypeORM like one that does not exist.
    await refuseMissingPrivileges(dataSource, tables);
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

async function refuseUnsupported(url: string, dataSource: DataSource): Promise<void> {
  const [{ encoding, version, number }] = await dataSource.query<
    [{ encoding: string; version: string; number: number }]
  >(
    `SELECT current_setting('server_encoding') AS encoding, current_setting('server_version') AS version,
            current_setting('server_version_num')::int AS number`,
  );
  if (number < OLDEST_VERSION)
    throw new UnusableDatabaseError(url, `its server is PostgreSQL ${version}, and 13 or newer is needed`);
  if (encoding !== ENCODING)
    throw new UnusableDatabaseError(
      url,
      `its encoding is ${encoding} and must be ${ENCODING}, as of CREATE DATABASE … ENCODING '${ENCODING}' TEMPLATE template0`,
    );
}
