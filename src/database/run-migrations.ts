import { DataSource, MigrationExecutor } from 'typeorm';
import { dataSourceOptions } from './data-source.options.js';

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

/**
 * Brings the schema up to date, all or nothing. Safe to repeat and to run from many processes at once: they take turns
 * under a lock of the transaction's, which needs no session and so works through any connection pooler.
 *
 * @returns the names of the migrations that this call ran
 */
export async function runMigrations(url: string): Promise<string[]> {
  return withDataSource(url, async (dataSource) => {
    const runner = dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
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

/** @throws PendingMigrationsError unless the schema is up to date; needs no right to change it */
export async function refusePendingMigrations(url: string): Promise<void> {
  const pending = await withDataSource(url, (dataSource) => new MigrationExecutor(dataSource).getPendingMigrations());
  if (pending.length > 0) throw new PendingMigrationsError(pending.map(({ name }) => name));
}

async function withDataSource<T>(url: string, work: (dataSource: DataSource) => Promise<T>): Promise<T> {
  const dataSource = new DataSource(dataSourceOptions(url));
  await dataSource.initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
