import { spawnSync, type SpawnSyncOptions } from 'node:child_process';
import { EmbeddedPostgresError } from './embedded-postgres.error.js';
import type { ServerAccount } from './server-account.js';

/**
 * Runs a program of PostgreSQL's to its end, and gives what it printed.
 *
 * In a session of its own, so that a Ctrl-C at the terminal, which goes to every process of the group, cannot break it off
 * half-way: our own signal handlers come right after it. At the root, since the working directory may be one that the
 * account cannot enter.
 *
 * @throws EmbeddedPostgresError with what it said last
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
