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
 * Brings the schema up to date. Each migration is a transaction of its own, so that one that reads a whole table does not
 * keep the locks of the one before. Safe to repeat, after a failure too, and to run from many processes at once: a lock that
 * belongs to the transaction lets one of them run each migration, and works through any connection pooler.
 *
 * @returns the names of the migrations that this call ran
 */
export function runMigrations(url: string): Promise<string[]> {
  return withDataSource(url, async (dataSource) => {
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
    await queryRunner?.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    const executor = new MigrationExecutor(dataSource, queryRunner);
    const [next] = await executor.getPendingMigrations();
    return next ? (await executor.executeMigration(next)).name : null;
  });

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
