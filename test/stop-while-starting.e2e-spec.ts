import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { Programs } from './support/server-process.js';

/** Starts a program as process 1 of its own, as in a container, where the system permits that. */
const AS_PROCESS_1 = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
const isPermitted = spawnSync(AS_PROCESS_1[0] ?? '', [...AS_PROCESS_1.slice(1), 'true']).status === 0;

const SIGNALS = [
  ['SIGTERM', 143],
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const;

describe('A program that is told to stop', () => {
  let programs: Programs;
  beforeEach(async () => {
    programs = await Programs.inEmptyDirectory();
  });
  afterEach(() => programs.dispose());

  // Process 1 ignores a signal for which it has no handler.
  describe.each([
    ['the server', 'dist/app/main.js', 'pino', []],
    ['the command line', 'dist/cli/cli.js', 'pino', ['users', 'list']],
    ['the migration', 'dist/src/startup/migrate.js', 'typeorm', []],
  ])('while %s loads', (_, program, signalAt, words) => {
    let child: ChildProcess | undefined;
    afterEach(() => child?.kill('SIGKILL'));

    it.each(SIGNALS)('ends at %s with %i', async (signal, code) => {
      const command = [
        ...(isPermitted ? AS_PROCESS_1 : []),
        process.execPath,
        ...['--import', resolve('test/support/signal-while-loading.js')],
        ...[resolve(program), ...words],
      ];
      child = spawn(command[0] ?? '', command.slice(1), {
        cwd: programs.cwd,
        env: {
          PATH: process.env.PATH,
          PORT: '0',
          DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/nothing',
          SIGNAL: signal,
          SIGNAL_AT: signalAt,
        },
        stdio: 'ignore',
      });

      expect(await once(child, 'exit')).toEqual([code, null]);
    });
  });

  it.each(SIGNALS)('while the server waits for the database ends at %s with %i', async (signal, code) => {
    const silent = createServer().listen(0, '127.0.0.1'); // takes connections, and says nothing
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const server = programs.start('server', [], {
      PORT: '0',
      DATABASE_URL: `postgresql://nobody@127.0.0.1:${String(port)}/nothing`,
    });
    await server.says(/The database does not answer yet/);

    const ended = await server.end(signal);
    silent.close();

    expect(ended.code).toBe(code);
  });
});
