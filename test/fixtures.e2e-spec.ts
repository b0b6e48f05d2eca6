import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { administer, serverUrl } from './support/database.js';

/** Whether a process runs; one that has ended, and that its parent has not asked for, does not. */
async function runs(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
    return !(await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '')).includes(') Z ');
  } catch {
    return false;
  }
}

/** Milliseconds for a run of Jest on a busy machine. */
const PATIENCE_MS = 300_000;

describe('Tests that do not end what they start', () => {
  let cache: string;
  let directory: string;
  let temporary: string;
  let run: ChildProcess;
  let output: string;

  beforeAll(async () => {
    cache = await mkdtemp(join(tmpdir(), 'users-api-leaks-cache-'));
  });
  afterAll(() => rm(cache, { recursive: true, force: true }));
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'users-api-leaks-'));
    temporary = join(directory, 'tmp');
    await mkdir(temporary);
    for (const path of [directory, temporary]) await chmod(path, 0o755); // for PostgreSQL's account
    output = '';
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const notes = async (): Promise<string> => readFile(join(directory, 'leaks'), 'utf8').catch(() => '');
  const noted = async (what: 'pid' | 'worker' | 'database'): Promise<string[]> =>
    [...(await notes()).matchAll(new RegExp(`^${what} (\\w+)$`, 'gm'))].map(([, name = '']) => name);

  /** Jest as a shell starts it: the leader of a process group, in a terminal's foreground. */
  const start = (until: 'timeout' | 'killed'): void => {
    // Without times of earlier runs, after which Jest might run both files in its own process.
    const words = ['--selectProjects', 'leaks', '--rootDir', '.', '--maxWorkers', '2', '--cacheDirectory', cache];
    run = spawn(process.execPath, ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js', ...words], {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        TEST_DATABASE_URL: serverUrl(),
        TMPDIR: temporary,
        LEAKS: join(directory, 'leaks'),
        LEAK_UNTIL: until,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [run.stdout, run.stderr]) stream?.on('data', (chunk) => (output += String(chunk)));
  };
  const isUp = async (): Promise<void> => {
    while (!(await notes()).includes('up\n')) {
      if (run.exitCode !== null) throw new Error(`Jest ended:\n${output}`);
      await sleep(50);
    }
  };
  /**
   * Its output closes once everything that writes there has ended, what cleans up behind it
   * included.
   */
  const expectNothingLeft = async (): Promise<void> => {
    if (run.stderr?.closed === false) await once(run, 'close');
    const [pids, databases] = [await noted('pid'), await noted('database')];
    const running = await Promise.all(pids.map((pid) => runs(Number(pid))));
    const names = databases.map((name) => `'${name}'`).join();
    if (pids.length !== 3 || databases.length !== 2) throw new Error(`Jest has not begun:\n${output}`);
    expect(pids.filter((_, index) => running[index])).toEqual([]);
    expect(await readdir(temporary)).toEqual([]);
    expect(await administer(`SELECT datname FROM pg_database WHERE datname IN (${names})`)).toEqual([]);
  };

  it(
    'leave nothing behind when a hook and a test do not end in time',
    async () => {
      start('timeout');

      await expectNothingLeft();
      expect(output).toMatch(/Tests: +2 failed, 1 passed/);
    },
    PATIENCE_MS,
  );

  it(
    'leave nothing behind when a terminal interrupts Jest',
    async () => {
      start('killed');
      await isUp();

      process.kill(-(run.pid ?? 0), 'SIGINT');

      await expectNothingLeft();
    },
    PATIENCE_MS,
  );

  it(
    'leave nothing behind when Jest is killed',
    async () => {
      start('killed');
      await isUp();

      run.kill('SIGKILL');
      const [worker] = await noted('worker');
      process.kill(Number(worker), 'SIGKILL'); // it would go on without its parent

      await expectNothingLeft();
    },
    PATIENCE_MS,
  );

  it(
    'leave nothing behind when the process of a test file is killed',
    async () => {
      start('killed');
      await isUp();

      const [worker] = await noted('worker');
      process.kill(Number(worker), 'SIGKILL');

      await expectNothingLeft();
      expect(output).toMatch(/signal=SIGKILL/);
    },
    PATIENCE_MS,
  );
});
