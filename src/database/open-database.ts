import { setTimeout as sleep } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import type { AppConfig } from '../config/app.config.js';
import { type OpenDatabase, openEmbeddedPostgres } from './embedded/open-embedded-postgres.js';
import { refusePendingMigrations, runMigrations } from './run-migrations.js';

const TRIES = 30;
const PAUSE_MS = 1_000;

/** Wrong credentials and a database that does not exist: waiting mends neither. */
const PERMANENT = /^(28|3D)/;

/**
 * Finds the database, waits for it, and brings its schema up to date unless `MIGRATIONS_RUN=false`.
 *
 * @param owner true for the application, false for a command: see `EmbeddedPostgresOptions`
 * @throws EmbeddedPostgresError, PendingMigrationsError, or the database's own error when it stays away for half a minute
 */
export async function openDatabase(
  config: AppConfig,
  owner: boolean,
  log: (message: string) => void,
): Promise<OpenDatabase> {
  const database = await locateDatabase(config, owner, log);
  await untilAvailable<unknown>(log, () =>
    config.migrationsRun ? runMigrations(database.url) : refusePendingMigrations(database.url),
  );
  return database;
}

/**
 * Does some work at a start, again and again while the database is away or too slow for it, for half a minute.
 *
 * @throws the database's own error after that; any other error at once
 */
export async function untilAvailable<T>(log: (message: string) => void, work: () => Promise<T>): Promise<T> {
  for (let left = TRIES; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      if (left <= 1 || !isDatabaseUnavailable(error) || PERMANENT.test(String((error as { code?: unknown }).code)))
        throw error;
      if (left === TRIES) log(`The database does not answer yet: ${(error as Error).message}`);
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
  return Promise.resolve({ url: databaseUrl, close: () => Promise.resolve() });
}
