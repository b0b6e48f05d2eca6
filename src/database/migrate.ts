import './javascript-client.js';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { handleFailedOutput } from '../standard-streams.js';
import { locateDatabase } from './open-database.js';
import { runMigrations } from './run-migrations.js';

/*
 * `npm run migration:run`: what the app does at its start, as a command of its own, under the same lock. The process ends by itself, once
 * stdout and stderr have taken what it printed.
 */

handleFailedOutput();
try {
  readDotEnv();
  const config = new AppConfig(process.env);
  const database = await locateDatabase(config, false, console.error);
  try {
    const done = await runMigrations(database.url, config.transactionPooler);
    console.log(done.length > 0 ? `Ran ${done.join(', ')}` : 'The schema is up to date');
  } finally {
    await database.close();
  }
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
