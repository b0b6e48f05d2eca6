import './javascript-client.js';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { locateDatabase } from './open-database.js';
import { runMigrations } from './run-migrations.js';

/* `npm run migration:run`: what the app does at its start, as a command of its own, under the same lock. */

try {
  readDotEnv();
  const config = new AppConfig(process.env);
  const database = await locateDatabase(config, false, console.error);
  const done = await runMigrations(database.url, config.transactionPooler);
  await database.close();
  console.log(done.length > 0 ? `Ran ${done.join(', ')}` : 'The schema is up to date');
  process.exit(0);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
