import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runMigrations } from '../src/database/run-migrations.js';
import { fill } from './fill.js';
import { query } from './seed.js';

const POLL_MS = 100;

/**
 * Measures `users-api move` of this number of users, with the same number of keys, events and
 * entries: killed after half of its duration and repeated, and run without interruption, each into
 * a separate database.
 *
 * @param serverUrl of a server on which the caller may create databases
 */
export async function measureMove(serverUrl: string, users: number): Promise<void> {
  const create = async (name: string): Promise<string> => {
    await query(serverUrl, `CREATE DATABASE ${name}`);
    return Object.assign(new URL(serverUrl), { pathname: `/${name}` }).href;
  };
  const source = await create('source');
  await runMigrations(source);
  await fill(source, users, (message) => {
    console.error(message);
  });
  const undisturbed = await move(source, await create('undisturbed'));
  const target = await create('repeated');
  await move(source, target, undisturbed.seconds / 2);
  const [left] = await query<{ rows: number }>(target, 'SELECT count(*)::int AS rows FROM users');
  const repeated = await move(source, target);
  console.log(`${String(users)} users; ${String(left?.rows)} at the target after the kill`);
  console.table({ undisturbed, 'repeated after a kill': repeated });
}

interface Moved {
  readonly seconds: number;
  /** The maximum resident memory of the command. */
  readonly MB: number;
}

async function move(from: string, to: string, killAfterSeconds = Infinity): Promise<Moved> {
  const start = performance.now();
  const passed = (): number => (performance.now() - start) / 1000;
  const child = spawn(process.execPath, [resolve('dist/cli/cli.js'), 'move', '--to', to], {
    env: { PATH: process.env.PATH, DATABASE_URL: from },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const closed = once(child, 'close');
  let most = 0;
  while (child.exitCode === null && child.signalCode === null) {
    most = Math.max(most, peakMemory(child));
    if (passed() > killAfterSeconds) child.kill('SIGKILL');
    await Promise.race([closed, sleep(POLL_MS)]);
  }
  const seconds = Math.round(passed());
  if (child.exitCode !== 0 && killAfterSeconds === Infinity) throw new Error('The move failed');
  return { seconds, MB: Math.round(most) };
}

function peakMemory({ pid }: ChildProcess): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0; // it has ended
  }
}
