import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ending } from './leftovers.js';

/**
 * Milliseconds until a process that was asked to end is killed; what our server takes at most for
 * the requests in flight.
 */
const GRACE_MS = 10_000;

function runDirectory(): string {
  const directory = process.env.TEST_RUN_DIRECTORY;
  if (!directory) throw new Error('TEST_RUN_DIRECTORY is not set: run the tests through npm');
  return directory;
}

/** A directory for files of a test, which goes with its file at the latest. */
export async function temporaryDirectory(): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(runDirectory(), 'users-api-test-'));
  return { path, remove: ending(() => rm(path, { recursive: true, force: true, maxRetries: 10 })) };
}

export interface OwnProcess {
  readonly child: ChildProcess;
  /**
   * Asks it to end, and kills it where it does not, with those that it has started in its process
   * group.
   */
  readonly end: () => Promise<void>;
}

/**
 * Starts a program in a process group of its own, which goes with the test's file at the latest.
 */
export function startProcess(program: string, words: readonly string[], options: SpawnOptions): OwnProcess {
  const child = spawn(program, words, { ...options, detached: true });
  const record = join(runDirectory(), 'processes', String(child.pid));
  if (child.pid !== undefined) writeFileSync(record, '');
  const ended = once(child, 'exit').then(
    () => {
      signal(child, 'SIGKILL'); // the others of its group
      rmSync(record, { force: true });
    },
    () => undefined, // it could not be started
  );
  const end = async (): Promise<void> => {
    signal(child, 'SIGTERM');
    await Promise.race([
      ended,
      sleep(GRACE_MS, undefined, { ref: false }).then(() => {
        signal(child, 'SIGKILL');
      }),
    ]);
    await ended;
  };
  return { child, end: ending(end) };
}

function signal({ pid }: ChildProcess, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
