import { parseArgs } from 'node:util';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { misspelledVariables } from '../config/misspelled-variables.js';
import { locateDatabase, untilAvailable } from './open-database.js';
import { runMigrations } from './run-migrations.js';

/*
 * `npm run migration:run`: what the app does at its start, as a command of its own, under the same lock. With `--grant-to <role>`
 * that role gets, in the same transaction, the rights that the instances need.
 */

try {
  const { values } = parseArgs({ options: { 'grant-to': { type: 'string' } } });
  readDotEnv();
  const config = new AppConfig(process.env);
  for (const warning of misspelledVariables(process.env)) console.error(warning);
  const database = await locateDatabase(config, false, console.error);
  const grantTo = values['grant-to'];
  const done = await untilAvailable(database.url, console.error, () => runMigrations(database.url, { grantTo }));
  await database.close();
  console.log(done.length > 0 ? `Ran ${done.join(', ')}` : 'The schema is up to date');
  if (grantTo !== undefined) console.log(`The role ${grantTo} may run the application on it`);
  process.exit(0);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
