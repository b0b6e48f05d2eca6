import { setTimeout as sleep } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import type { AppConfig } from '../config/app.config.js';
import { type OpenDatabase, openEmbeddedPostgres } from './embedded/open-embedded-postgres.js';
import { refusePendingMigrations, runMigrations } from './run-migrations.js';

/** Milliseconds that a start waits for the database, and between two tries. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 1_000;

/** Wrong credentials and a database that does not exist: waiting mends neither. */
const PERMANENT = /^(28|3D)/;

/** An `AggregateError`, of a host with several addresses, has a code and no message. */
const saying = (error: unknown): string => {
  const { message, code } = error as { readonly message: string; readonly code?: string };
  return message || (code ?? 'no reason given');
};

/** What DATABASE_URL leads to cannot be used. Says where that is, and never the password. */
export class UnusableDatabaseError extends Error {
  constructor(url: string, cause: unknown) {
    const { host, pathname } = new URL(url);
    super(`The database at ${host}${pathname} cannot be used: ${saying(cause)}`, { cause });
    this.name = 'UnusableDatabaseError';
  }
}

/**
 * Finds the database, waits for it, and brings its schema up to date unless `MIGRATIONS_RUN=false`.
 *
 * @param owner true for the application, false for a command: see `EmbeddedPostgresOptions`
 * @throws EmbeddedPostgresError, PendingMigrationsError, or UnusableDatabaseError when it stays away for half a minute
 */
export async function openDatabase(
  config: AppConfig,
  owner: boolean,
  log: (message: string) => void,
): Promise<OpenDatabase> {
  const database = await locateDatabase(config, owner, log);
  const { url } = database;
  try {
    await untilAvailable(log, async () => {
      if (!config.migrationsRun) return refusePendingMigrations(url);
      const done = await runMigrations(url);
      if (owner && done.length > 0) log(`Ran the migrations ${done.join(', ')}`);
    });
    return database;
  } catch (error) {
    throw isDatabaseUnavailable(error) ? new UnusableDatabaseError(url, error) : error;
  }
}

/**
 * Does some work at a start, again and again while the database is away or too slow for it, for half a minute.
 *
 * @throws the database's own error after that; any other error at once
 */
export async function untilAvailable<T>(log: (message: string) => void, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  for (let first = true; ; first = false) {
    try {
      return await work();
    } catch (error) {
      const isPermanent = PERMANENT.test(String((error as { code?: unknown }).code));
      if (!isDatabaseUnavailable(error) || isPermanent || performance.now() - start > PATIENCE_MS) throw error;
      if (first) log(`The database does not answer yet: ${saying(error)}`);
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
