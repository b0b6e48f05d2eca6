import type { Command } from 'commander';
import { COMMAND_LINE } from '../audit-trail/actor.js';
import type { StopSignal } from '../startup/stop-signal.js';
import { UsersService } from '../users/users.service.js';
import { checkFile, importFile } from './import-users.js';
import { InterruptedError, print, printLine, say } from './output.js';
import { counted, visible } from './visible.js';
import { withApp } from './with-app.js';

export function addImportCommand(users: Command, stop: StopSignal): void {
  users
    .command('import')
    .description(
      'Add the users of a file, .csv with the columns email and name or .jsonl with such objects, without keys. ' +
        'Nothing is written if a line is not valid. Safe to repeat, even after an interruption: existing users are not changed',
    )
    .argument('<file>', 'the file with the users')
    .option('--dry-run', 'only report problems')
    .option('--json', 'print { "users", "problems", "created", "existing" } instead of text')
    .action(async (file: string, { dryRun, json }: { dryRun?: true; json?: true }) => {
      const { users: found, problems, problemCount } = await checkFile(file);
      const done = { created: 0, existing: 0 };
      try {
        if (problemCount > 0) throw new Error(`${counted(problemCount, 'problem')} in ${file}; nothing was written`);
        if (!dryRun) await run(file, found, done, stop);
      } finally {
        if (json) print({ users: found, problems, ...done });
        else if (problemCount > 0)
          for (const { line, message } of problems) say(`${visible(file)}:${String(line)}: ${visible(message)}`);
        else if (dryRun) printLine(`${counted(found, 'user')} could be imported.`);
        else printLine(`${counted(done.created, 'user')} created, ${String(done.existing)} already there.`);
      }
    });
}

/** @throws InterruptedError when a signal ended the import before the last user */
async function run(
  file: string,
  found: number,
  done: { created: number; existing: number },
  stop: StopSignal,
): Promise<void> {
  const reason: unknown = await withApp((app) =>
    stop.interrupting(async (interrupted) => {
      const users = app.get(UsersService);
      try {
        await importFile(file, users, done, interrupted);
      } finally {
        if (done.created > 0) await users.recordImport(done.created, { by: COMMAND_LINE });
      }
      return interrupted.reason as unknown;
    }),
  );
  const handled = done.created + done.existing;
  if (typeof reason === 'number' && handled < found) {
    const share = `${String(handled)} of ${counted(found, 'user')}`;
    throw new InterruptedError(`Interrupted after ${share}; the same command imports the rest`, reason);
  }
}
