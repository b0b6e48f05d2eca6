import { setTimeout as sleep } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import type { AppConfig } from '../config/app.config.js';
import { openEmbeddedPostgres } from './embedded/open-embedded-postgres.js';
import { refusePendingMigrations, runMigrations } from './run-migrations.js';

const TRIES = 30;
const PAUSE_MS = 1_000;

/**
 * Finds the database, waits for it, and brings its schema up to date unless `MIGRATIONS_RUN=false`.
 *
 * @param owner true for the application, false for a command: see `EmbeddedPostgresOptions`
 * @returns its URL
 * @throws EmbeddedPostgresError, PendingMigrationsError, or the database's own error when it stays away for half a minute
 */
export async function openDatabase(config: AppConfig, owner: boolean, log: (message: string) => void): Promise<string> {
  const url = config.databaseUrl ?? (await openEmbeddedPostgres({ dataDir: config.dataDir, owner, log }));
  for (let left = TRIES; ; left -= 1) {
    try {
      await (config.migrationsRun ? runMigrations(url) : refusePendingMigrations(url));
      return url;
    } catch (error) {
      if (left <= 1 || !isDatabaseUnavailable(error)) throw error;
      if (left === TRIES) log('The database does not answer yet');
      await sleep(PAUSE_MS);
    }
  }
}
