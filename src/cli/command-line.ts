import { createRequire } from 'node:module';
import { Command } from 'commander';
import { redactKeys } from '../common/api-key-format.js';
import { apiKeyFormatFrom, readDotEnv } from '../config/app.config.js';
import type { StopSignal } from '../startup/stop-signal.js';
import { addArchiveCommand } from './archive-command.js';
import { addAuditCommands } from './audit-commands.js';
import { addCreditCommands } from './credit-commands.js';
import { addKeyCommands } from './key-commands.js';
import { addMoveCommand } from './move-command.js';
import { printLine } from './output.js';
import { addUserCommands } from './user-commands.js';
import { visibleLines } from './visible.js';

const { version } = createRequire(import.meta.url)('@users-api/server/package.json') as { version: string };

/**
 * `users-api`: the operator's commands. Results are written to stdout, everything else to stderr; a
 * failed command exits with a status other than 0.
 */
export function commandLine(stop: StopSignal): Command {
  const program = new Command('users-api')
    .description('Manage the users, API keys and credits of a Users API database')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(see --help)')
    .configureOutput({
      outputError: (message, write) => {
        write(visibleLines(redactKeys(message))); // the message repeats arguments of the command
      },
    });
  addUserCommands(program.command('users').description('Users'), stop);
  const keys = program.command('keys').description('API keys');
  addKeyCommands(keys);
  keys
    .command('generate')
    .description('Generate an API key for BOOTSTRAP_ADMIN_KEY, without storing it; needs no database')
    .action(() => {
      readDotEnv();
      printLine(apiKeyFormatFrom(process.env).generate());
    });
  addCreditCommands(program.command('credits').description('Credits'));
  addMoveCommand(program, stop);
  const audit = program.command('audit').description('The audit trail');
  addAuditCommands(audit);
  addArchiveCommand(audit, stop);
  return program;
}
