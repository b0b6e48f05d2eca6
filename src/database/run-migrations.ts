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
 * Brings the schema up to date. Each migration is a transaction of its own, so that one that reads a whole table does not
 * keep the locks of the one before. Safe to repeat, after a failure too, and to run from many processes at once: a lock that
 * belongs to the transaction lets one of them run each migration, and works through any connection pooler.
 *
 * @param transactionPooler see `dataSourceOptions`
 * @returns the names of the migrations that this call ran
 * @throws UnsuitableSettingsError
 */
export function runMigrations(url: string, transactionPooler?: boolean): Promise<string[]> {
  return withDataSource(dataSourceOptions(url, transactionPooler), async (dataSource) => {
    const done: string[] = [];
    for (;;) {
      const name = await runNextMigration(dataSource);
      if (name === null) return done;
      done.push(name);
    }
  });
}

/** @returns its name, or null when the schema is up to date */
const runNextMigration = (dataSource: DataSource): Promise<string | null> =>
  dataSource.transaction(async ({ queryRunner }) => {
    await queryRunner?.query(SET_LOCALLY, [Object.keys(COMMAND_SETTINGS), Object.values(COMMAND_SETTINGS)]);
    await queryRunner?.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    const executor = new MigrationExecutor(dataSource, queryRunner);
    const [next] = await executor.getPendingMigrations();
    return next ? (await executor.executeMigration(next)).name : null;
  });

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
