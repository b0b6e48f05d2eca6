import { spawnSync, type SpawnSyncOptions } from 'node:child_process';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import type { ServerAccount } from './server-account.js';

/**
 * Runs a program of PostgreSQL, and returns its output.
 *
 * It runs in a new session, so that a Ctrl-C at the terminal, which is sent to every process of the
 * group, does not interrupt it: the signal handlers of this process run right after the program.
 * Its working directory is the root, since the account may not be able to enter the working
 * directory of this process.
 *
 * @throws EmbeddedPostgresError with the last output
 */
export function runProgram(program: string, flags: readonly string[], account: ServerAccount | undefined): string {
  const options = {
    ...account,
    cwd: '/',
    detached: true,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  } as const;
  const { status, signal, error, stdout, stderr } = spawnSync(
    program,
    flags,
    options as SpawnSyncOptions & typeof options,
  );
  if (status === 0) return stdout;
  const reason = error?.message ?? (stderr.trim() || stdout.trim() || `ended by ${signal ?? String(status)}`);
  throw new EmbeddedPostgresError(`${program} failed: ${reason}`);
}
