import { createRequire } from 'node:module';
import { Command } from 'commander';
import { generateApiKey } from '../common/api-key-format.js';
import { addCreditCommands } from './credit-commands.js';
import { addKeyCommands } from './key-commands.js';
import { addUserCommands } from './user-commands.js';

const { version } = createRequire(import.meta.url)('../../../package.json') as { version: string };

/** `users-api`: the operator's commands. Answers go to stdout, all else to stderr; a failure ends with a status other than 0. */
export function commandLine(): Command {
  const program = new Command('users-api')
    .description('Look after the users, API keys and credits of a Users API database')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(--help tells how)');
  addUserCommands(program.command('users').description('Users'));
  const keys = program.command('keys').description('API keys');
  addKeyCommands(keys);
  keys
    .command('generate')
    .description('Print a key that is stored nowhere, for BOOTSTRAP_ADMIN_KEY; needs no database')
    .action(() => {
      process.stdout.write(`${generateApiKey()}\n`);
    });
  addCreditCommands(program.command('credits').description('Credits'));
  return program;
}
