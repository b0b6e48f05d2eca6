import '../database/javascript-client.js';
import { parseArgs } from 'node:util';
import { handleFailedOutput } from './standard-streams.js';
import { onStopSignal } from './stop-signal.js';

/*
 * `npm run migration:run`: runs the migrations as the application does at its start, under the same
 * lock. With `--grant-to <role>`, that role is then granted the rights that the instances need.
 * `process.exit` is not called, so that the output is complete.
 */

handleFailedOutput();
onStopSignal(); // before anything else is loaded: see main.ts

try {
  const { AppConfig, readDotEnv } = await import('../config/app.config.js');
  const { misspelledVariables } = await import('../config/misspelled-variables.js');
  const { locateDatabase, retryUntilAvailable } = await import('./open-database.js');
  const { runMigrations } = await import('../database/run-migrations.js');
  const { values } = parseArgs({ options: { 'grant-to': { type: 'string' } } });
  readDotEnv();
  const config = new AppConfig(process.env);
  for (const warning of misspelledVariables(process.env)) console.error(warning);
  const database = await locateDatabase(config, false, console.error);
  const { transactionPooler } = config;
  const grantTo = values['grant-to'];
  try {
    const done = await retryUntilAvailable(database.url, console.error, () =>
      runMigrations(database.url, { transactionPooler, grantTo }),
    );
    console.log(done.length > 0 ? `Ran ${done.join(', ')}` : 'The schema is up to date');
    if (grantTo !== undefined) console.log(`The role ${grantTo} may run the application on it`);
  } finally {
    await database.close();
  }
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
