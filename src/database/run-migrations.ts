import { DataSource, type EntityManager, MigrationExecutor } from 'typeorm';
import { OperatorError } from '../common/errors/operator.error.js';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';
import { ADVISORY_LOCKS } from './advisory-locks.js';
import { dataSourceOptions } from './data-source.options.js';
import { NO_TIMEOUTS } from './without-timeouts.js';
import { grantsTo, NOT_ALLOWED, refuseMissingPrivileges, refusedMigrations, type Table } from './privileges.js';
import { COMMAND_SETTINGS, refuseUnsuitableSettings } from './session-settings.js';
import { UnusableDatabaseError } from './unusable-database.js';

/** The encoding that the constraints need, and the oldest version that is tested. */
const ENCODING = 'UTF8';
const OLDEST_VERSION = 130_000;

/** Sets settings for one transaction, which works through a pooler. */
const SET_LOCALLY = 'SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS setting (name, value)';

export class PendingMigrationsError extends OperatorError {
  constructor(names: readonly string[]) {
    super(
      `The database lacks the migrations ${names.join(', ')}. Run "npm run migration:run", or start with MIGRATIONS_RUN=true.`,
    );
  }
}

export interface SchemaOptions {
  /** See `dataSourceOptions`. */
  readonly transactionPooler?: boolean;
  /** Tables on which the connecting role must have the rights of the application, if they exist. */
  readonly tables?: readonly Table[];
}

export interface MigrationOptions extends SchemaOptions {
  /** A role to which the rights of the application are granted after the migrations. */
  readonly grantTo?: string | undefined;
}

/**
 * Brings the schema up to date. Each migration runs in its own transaction, so that a migration
 * that reads a whole table does not hold the locks of an earlier one. Safe to repeat, even after a
 * failure, and to run in many processes at once: a lock of the transaction, which works through any
 * pooler, ensures that only one of them runs each migration.
 *
 * @returns the names of the migrations that were run
 * @throws MissingPrivilegesError, UnsuitableSettingsError, or UnusableDatabaseError for an
 *   unsupported version or encoding
 */
export function runMigrations(url: string, options: MigrationOptions = {}): Promise<string[]> {
  return withDataSource(url, options, async (dataSource) => {
    const done: string[] = [];
    try {
      for (;;) {
        const name = await locked(dataSource, runNextMigration);
        if (name === null) break;
        done.push(name);
      }
      const { grantTo } = options;
      if (grantTo !== undefined) await locked(dataSource, (manager) => grant(manager, grantTo));
      return done;
    } catch (error) {
      const { code, message } = error as { readonly code?: unknown; readonly message: string };
      throw code === NOT_ALLOWED ? await refusedMigrations(dataSource, message) : error;
    }
  });
}

const locked = <T>(dataSource: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> =>
  dataSource.transaction(async (manager) => {
    await manager.query(SET_LOCALLY, [Object.keys(COMMAND_SETTINGS), Object.values(COMMAND_SETTINGS)]);
    await manager.query(NO_TIMEOUTS);
    await manager.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.migration]);
    return work(manager);
  });

/** @returns the name of the migration, or null when the schema is up to date */
async function runNextMigration({ dataSource, queryRunner }: EntityManager): Promise<string | null> {
  const executor = new MigrationExecutor(dataSource, queryRunner);
  const [next] = await executor.getPendingMigrations();
  return next ? (await executor.executeMigration(next)).name : null;
}

async function grant(manager: EntityManager, role: string): Promise<void> {
  const [{ schema }] = await manager.query<[{ schema: string }]>('SELECT current_schema() AS schema');
  for (const statement of grantsTo(role, schema)) await manager.query(statement);
}

/**
 * Checks that the schema is up to date, without any right to change it.
 *
 * @throws PendingMigrationsError unless the schema is up to date; MissingPrivilegesError,
 *   UnsuitableSettingsError, UnusableDatabaseError
 */
export async function refusePendingMigrations(url: string, options: SchemaOptions = {}): Promise<void> {
  const pending = await withDataSource(url, { tables: ['migrations'], ...options }, (dataSource) =>
    new MigrationExecutor(dataSource).getPendingMigrations(),
  );
  if (pending.length > 0) throw new PendingMigrationsError(pending.map(({ name }) => name));
}

async function withDataSource<T>(
  url: string,
  { transactionPooler, tables = [] }: SchemaOptions,
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const dataSource = new DataSource(dataSourceOptions(url, transactionPooler));
  try {
    await dataSource.initialize();
  } catch (error) {
    throw new DatabaseUnreachableError(error);
  }
  try {
    await refuseUnsupported(url, dataSource);
    await refuseUnsuitableSettings(dataSource);
    // First, since TypeORM treats a table without rights as one that does not exist.
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
