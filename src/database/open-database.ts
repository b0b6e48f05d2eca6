import { setTimeout as sleep } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import type { AppConfig } from '../config/app.config.js';
import { type OpenDatabase, openEmbeddedPostgres } from './embedded/open-embedded-postgres.js';
import { TABLES } from './privileges.js';
import { refusePendingMigrations, runMigrations } from './run-migrations.js';
import { lastingReason, reasonOf, UnusableDatabaseError } from './unusable-database.js';

/** Milliseconds that a start waits for the database, and between two tries. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 1_000;

/**
 * Finds the database, waits for it, and brings its schema up to date unless `MIGRATIONS_RUN=false`.
 *
 * @param owner true for the application, false for a command: see `EmbeddedPostgresOptions`
 * @throws EmbeddedPostgresError, PendingMigrationsError, MissingPrivilegesError, UnsuitableSettingsError or UnusableDatabaseError
 */
export async function openDatabase(
  config: AppConfig,
  owner: boolean,
  log: (message: string) => void,
): Promise<OpenDatabase> {
  const database = await locateDatabase(config, owner, log);
  const { url } = database;
  const { transactionPooler } = config;
  // A command may run with less than the application needs, such as a role that only reads.
  const tables = owner ? TABLES : (['migrations'] as const);
  await untilAvailable(url, log, async () => {
    if (!config.migrationsRun) return refusePendingMigrations(url, { transactionPooler, tables });
    const done = await runMigrations(url, { transactionPooler, tables });
    if (owner && done.length > 0) log(`Ran the migrations ${done.join(', ')}`);
  });
  return database;
}

/**
 * Does some work at a start, again and again while the database is away or too slow for it, for half a minute.
 *
 * @throws UnusableDatabaseError after that, and at once when waiting does not help; any other error at once
 */
export async function untilAvailable<T>(
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
      if (lasting !== undefined || performance.now() - start > PATIENCE_MS)
        throw new UnusableDatabaseError(url, lasting ?? reasonOf(url, error), error);
      if (first) log(`The database does not answer yet: ${reasonOf(url, error)}`);
      await sleep(PAUSE_MS);
    }
  }
}

/** The database that the configuration names, or else the app's own. */
export function locateDatabase(
  { databaseUrl, dataDir }: AppConfig,
  owner: boolean,
  log: (message: string) => void,
): Promise<OpenDatabase> {
  if (databaseUrl === undefined) return openEmbeddedPostgres({ dataDir, owner, log });
  const { host, pathname } = new URL(databaseUrl);
  return Promise.resolve({ url: databaseUrl, place: `${host}${pathname}`, close: () => Promise.resolve() });
}
