import { AppConfig, readDotEnv } from '../config/app.config.js';
import { openEmbeddedPostgres } from './embedded/open-embedded-postgres.js';
import { runMigrations } from './run-migrations.js';

/* `npm run migration:run`: what the app does at its start, as a command of its own, under the same lock. */

readDotEnv();
try {
  const { databaseUrl, dataDir } = new AppConfig(process.env);
  const url = databaseUrl ?? (await openEmbeddedPostgres({ dataDir, owner: false, log: console.error }));
  const done = await runMigrations(url);
  console.log(done.length > 0 ? `Ran ${done.join(', ')}` : 'The schema is up to date');
  process.exit(0);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
