import { DataSource, MigrationExecutor } from 'typeorm';
import { dataSourceOptions, type PostgresOptions } from './data-source.options.js';
import { COMMAND_SETTINGS, refuseUnsuitableSettings } from './session-settings.js';

/** Any number that nobody else locks in the same database. */
const MIGRATION_LOCK = 7_573_002;

/** For the transaction alone, which a pooler allows. */
const SET_LOCALLY = 'SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS setting (name, value)';

export class PendingMigrationsError extends Error {
  constructor(names: readonly string[]) {
    super(
      `The database lacks the migrations ${names.join(', ')}. Run "npm run migration:run", or start with MIGRATIONS_RUN=true.`,
    );
    this.name = 'PendingMigrationsError';
  }
}

/**
 * Brings the schema up to date, all or nothing. Safe to repeat and to run from many processes at once: they take turns
 * under a lock of the transaction's, which needs no session and so works through any connection pooler.
 *
 * @param transactionPooler see `dataSourceOptions`
 * @returns the names of the migrations that this call ran
 * @throws UnsuitableSettingsError
 */
export async function runMigrations(url: string, transactionPooler?: boolean): Promise<string[]> {
  return withDataSource(dataSourceOptions(url, transactionPooler), async (dataSource) => {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      await runner.query(SET_LOCALLY, [Object.keys(COMMAND_SETTINGS), Object.values(COMMAND_SETTINGS)]);
      await runner.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
      const done = await new MigrationExecutor(dataSource, runner).executePendingMigrations();
      await runner.commitTransaction();
      return done.map(({ name }) => name);
    } catch (error) {
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined); // the first error counts
      throw error;
    } finally {
      await runner.release();
    }
  });
}

/** @throws PendingMigrationsError unless the schema is up to date, or UnsuitableSettingsError; needs no right to change it */
export async function refusePendingMigrations(url: string, transactionPooler?: boolean): Promise<void> {
  const pending = await withDataSource(dataSourceOptions(url, transactionPooler), (dataSource) =>
    new MigrationExecutor(dataSource).getPendingMigrations(),
  );
  if (pending.length > 0) throw new PendingMigrationsError(pending.map(({ name }) => name));
}

async function withDataSource<T>(options: PostgresOptions, work: (dataSource: DataSource) => Promise<T>): Promise<T> {
  const dataSource = new DataSource(options);
  await dataSource.initialize();
  try {
    await refuseUnsuitableSettings(dataSource);
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
