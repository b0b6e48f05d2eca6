import { setTimeout as sleep } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import type { AppConfig } from '../config/app.config.js';
import type { OpenDatabase } from '../embedded-postgres/open-embedded-postgres.js';
import { TABLES } from '../database/privileges.js';
import { refusePendingMigrations, runMigrations } from '../database/run-migrations.js';
import { lastingReason, reasonOf, UnusableDatabaseError } from '../database/unusable-database.js';

/** The wait for the database at startup, and the pause between two attempts (ms). */
const START_TIMEOUT_MS = 30_000;
const PAUSE_MS = 1_000;

/**
 * Finds the database, waits for it, and runs the migrations unless `MIGRATIONS_RUN=false`.
 *
 * @param owner true for the application, false for a command: see `EmbeddedPostgresOptions`
 * @throws EmbeddedPostgresError, PendingMigrationsError, MissingPrivilegesError,
 *   UnsuitableSettingsError or UnusableDatabaseError
 */
export async function openDatabase(
  config: AppConfig,
  owner: boolean,
  log: (message: string) => void,
): Promise<OpenDatabase> {
  const database = await locateDatabase(config, owner, log);
  const { url } = database;
  const { transactionPooler } = config;
  // A command may run with fewer rights than the application needs, such as those of a read-only
  // role.
  const tables = owner ? TABLES : (['migrations'] as const);
  await retryUntilAvailable(url, log, async () => {
    if (!config.migrationsRun) return refusePendingMigrations(url, { transactionPooler, tables });
    const done = await runMigrations(url, { transactionPooler, tables });
    if (owner && done.length > 0) log(`Ran the migrations ${done.join(', ')}`);
  });
  return database;
}

/**
 * Repeats work at startup while the database is unavailable, for half a minute.
 *
 * @throws UnusableDatabaseError after that, or at once if it does not help to wait; any other error
 *   at once
 */
export async function retryUntilAvailable<T>(
  url: string,
  log: (message: string) => void,
  work: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  for (let first = true; ; first = false) {
    try {
      return await work();
    } catch (error) {
      if (!isDatabaseUnavailable(error)) throw error;
      const lasting = await lastingReason(url, error);
      if (lasting !== undefined || performance.now() - start > START_TIMEOUT_MS)
        throw new UnusableDatabaseError(url, lasting ?? reasonOf(url, error), error);
      if (first) log(`The database does not answer yet: ${reasonOf(url, error)}`);
      await sleep(PAUSE_MS);
    }
  }
}

/** The database of the configuration, or the embedded one. */
export async function locateDatabase(
  { databaseUrl, dataDir }: AppConfig,
  owner: boolean,
  log: (message: string) => void,
): Promise<OpenDatabase> {
  if (databaseUrl === undefined) {
    const { openEmbeddedPostgres } = await import('../embedded-postgres/open-embedded-postgres.js'); // not needed in production
    return openEmbeddedPostgres({ dataDir, owner, log });
  }
  const { host, pathname } = new URL(databaseUrl);
  return { url: databaseUrl, place: `${host}${pathname}`, close: () => Promise.resolve() };
}
