import { access, chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { FullPipe, isWaitingToWrite } from './support/full-pipe.js';
import { type Program, Programs } from './support/server-process.js';

const MANY = 3_000;

/** Between two looks at a process: without it they would take the processor that it needs. */
const turn = (): Promise<void> => sleep(10);

/**
 * Control characters, line and paragraph separators, bidirectional controls. The terminal itself
 * ends lines with CR LF.
 */
const UNSAFE = /[\0-\t\v\f\x0e-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\r(?!\n)/u;

describe('What users-api prints', () => {
  let programs: Programs;
  let database: TestDatabase;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
    database = await createDatabase();
    env = { DATABASE_URL: database.url };
    await administer(
      `INSERT INTO users (name, email, credits_balance)
        SELECT 'User ' || n, 'user-' || n || '@example.com', 1 FROM generate_series(1, ${String(MANY)}) AS n`,
      database.directUrl,
    );
  });
  afterAll(async () => {
    await programs.dispose();
    await database.drop();
  });

  describe('into a pipe', () => {
    /** The status goes to stderr, since that of a pipeline is the reader's. */
    const piped = (words: string, reader: string) =>
      programs.shell(`{ $CLI ${words}; echo "status $?" >&2; } | ${reader}`, env);

    it('arrives whole when the command succeeds', async () => {
      const { stdout, stderr } = await piped(`users list --limit ${String(MANY)} --json`, 'cat');

      expect(JSON.parse(stdout)).toHaveLength(MANY);
      expect(stderr).toBe('status 0\n');
    });

    it('arrives whole when the command fails', async () => {
      const { stdout, stderr } = await piped('credits reconcile --json', 'cat');

      expect(JSON.parse(stdout)).toHaveLength(MANY);
      expect(stderr).toBe(`users-api: ${String(MANY)} differences\nstatus 1\n`);
    });

    it('arrives whole on stderr', async () => {
      const directory = join(programs.cwd, ...Array.from({ length: 4 }, () => 'd'.repeat(250)));
      await mkdir(directory, { recursive: true });
      const file = join(directory, 'users.csv');
      await writeFile(file, `email,name\n${'nonsense,N\n'.repeat(100)}`);

      const { stdout, stderr } = await piped(`users import ${file} 2>&1`, 'cat');

      expect(stdout.match(/users\.csv:\d+: email must be/g)).toHaveLength(100);
      expect(stdout).toMatch(/users-api: 100 problems in .*; nothing was written\n$/);
      expect(stderr).toBe('status 1\n');
    });

    it('ends quietly with the status of SIGPIPE when the reader goes away', async () => {
      const { stdout, stderr } = await piped(`users list --limit ${String(MANY)} --json`, 'head -c 1');

      expect({ stdout, stderr }).toEqual({ stdout: '[', stderr: 'status 141\n' });
    });

    it('leaves no database behind when the reader goes away', async () => {
      const own = await Programs.inEmptyDirectory();
      await chmod(own.cwd, 0o755);

      const { stderr } = await own.shell('{ $CLI users list --json; echo "status $?" >&2; } | head -c 0', {});

      expect(stderr).toMatch(/^status (0|141)\n$/); // the reader may have gone or not
      await expect(access(join(own.cwd, '.data/postgres-18'))).resolves.toBeUndefined();
      await expect(access(join(own.cwd, '.data/postgres-18/postmaster.pid'))).rejects.toMatchObject({ code: 'ENOENT' });
      await own.dispose();
    });

    it('is an error when it cannot be written', async () => {
      const { stdout, stderr } = await programs.shell(
        '$CLI users list --limit 10000 > /dev/full; echo "status $?"',
        env,
      );

      expect(stdout).toBe('status 1\n');
      expect(stderr).toBe('The output could not be written: ENOSPC: no space left on device, write\n');
    });
  });

  it('is an error when only a part of it fits into a file', async () => {
    const line = `trap '' XFSZ; ulimit -f 8; $CLI users list --limit ${String(MANY)} --json > part.json; echo "status $?"`;

    const { stdout, stderr } = await programs.shell(line, env);

    expect(stdout).toBe('status 1\n');
    expect(stderr).toBe('users-api: EFBIG: file too large, write\n');
  });

  describe('into a pipe that is full', () => {
    let pipe: FullPipe;
    beforeEach(() => {
      pipe = new FullPipe(programs.cwd);
    });
    afterEach(() => {
      pipe.close();
    });

    /**
     * Starts a program whose stdout and stderr both are the pipe, and lets it write until it can
     * write no more.
     */
    const startUntilFull = async (...[name, words, extra]: Parameters<Programs['start']>): Promise<Program> => {
      const program = programs.start(name, words, { ...env, ...extra }, ['ignore', pipe.writer, pipe.writer]);
      while (!program.hasEnded && !isWaitingToWrite(program.pid)) await turn();
      return program;
    };
    const drain = async (program: Program): Promise<{ text: string; code: number | null }> => {
      let text = '';
      while (!program.hasEnded) {
        text += pipe.read();
        await turn();
      }
      return { text: text + pipe.read(), code: (await program.end()).code };
    };

    it.each([
      ['cli', ['--version'], {}, /^\d+\.\d+\.\d+\n$/, 0],
      ['cli', ['keys', 'generate'], {}, /^ua_\w{49}\n$/, 0],
      ['cli', ['users', 'frob'], {}, /^error: unknown command 'frob'/, 1],
      ['cli', ['users', 'show', '--email', 'user-7@example.com'], {}, /User 7/, 0],
      ['cli', ['users', 'show', '--email', 'no@example.com'], {}, /^users-api: .*no@example.com not found\n$/, 1],
      ['migrate', [], {}, /^The schema is up to date\n$/, 0],
      ['migrate', [], { DATABASE_URL: 'nonsense' }, /DATABASE_URL must be/, 1],
      ['server', [], { DATABASE_URL: 'nonsense' }, /DATABASE_URL must be/, 1],
    ] as const)('%s %j %j waits for the reader', async (name, words, extra, expected, status) => {
      const program = await startUntilFull(name, words, extra);

      const { text, code } = await drain(program);

      expect(text).toMatch(expected);
      expect(code).toBe(status);
    });

    it.each([
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const)('still ends at %s, with %d', async (signal, status) => {
      const program = await startUntilFull('cli', ['users', 'list', '--limit', String(MANY), '--json'], {});

      const { code } = await program.end(signal);

      expect(code).toBe(status);
    });
  });

  describe('of text that callers chose', () => {
    const HOSTILE = 'a\x1b[2J\x1b[H\r\n\t\x07\x7f\x85\x9b31m\u2028\u2029\u061c\u200e\u200f\u202e\u2066z';
    const ESCAPED =
      'a\\u001b[2J\\u001b[H\\u000d\\u000a\\u0009\\u0007\\u007f\\u0085\\u009b31m\\u2028\\u2029\\u061c\\u200e\\u200f\\u202e\\u2066z';
    let sue: string[];

    beforeAll(async () => {
      sue = ['--email', 'user-1@example.com'];
      const words = ['credits', 'add', ...sue, '--amount', '1', '--transaction-id', HOSTILE];
      const { code, stderr } = await programs.cli(words, env);
      if (code !== 0) throw new Error(stderr);
    });

    const shown = async (...words: string[]): Promise<string> => {
      const { stdout } = await programs.startInTerminal(words, env).end();
      return stdout.replaceAll('\r\n', '\n');
    };

    it('is escaped in a table', async () => {
      const text = await shown('credits', 'history', ...sue);

      expect(text).toContain(`│ ${ESCAPED} │`);
      expect(text).not.toMatch(UNSAFE);
    });

    it('is escaped in JSON, which stays equal', async () => {
      const text = await shown('credits', 'history', ...sue, '--json');

      expect(text).toContain(`\\u2066z`);
      expect(text).not.toMatch(UNSAFE);
      expect(JSON.parse(text)).toEqual([expect.objectContaining({ transaction_id: HOSTILE })]);
    });

    it('is escaped in messages', async () => {
      const words = ['credits', 'add', ...sue, '--amount', '1', '--transaction-id', HOSTILE];
      const replayed = await programs.cli(words, env);
      const unknown = await programs.cli(['users', 'show', '--email', HOSTILE], env);
      const wrong = await programs.cli(['users', 'list', '--limit', HOSTILE], env);
      const unreadable = await programs.cli(['users', 'import', `${HOSTILE}.csv`], env);

      expect(replayed.stderr).toBe(`Transaction ${ESCAPED} already exists: nothing was moved this time.\n`);
      expect(unknown.stderr).toBe(`users-api: User with e-mail address ${ESCAPED} not found\n`);
      expect(wrong.stderr).toContain('\\u001b[2J\\u001b[H');
      expect(unreadable.stderr).toContain(`${ESCAPED}.csv`);
      for (const { stdout, stderr } of [replayed, unknown, wrong, unreadable])
        expect(stdout + stderr).not.toMatch(UNSAFE);
    });

    it('is escaped in the problems of an import and in the name of its file', async () => {
      const file = join(programs.cwd, 'a\x1b[2J\n.jsonl');
      await writeFile(file, `{"email": "a@example.com", "name": "A", "\u009b2J\u2028\u202e\\n": 1}\n`);

      const { stderr } = await programs.cli(['users', 'import', file], env);

      expect(stderr.split('\n')).toEqual([
        expect.stringMatching(
          /a\\u001b\[2J\\u000a\.jsonl:1: the property "\\u009b2J\\u2028\\u202e\\n" is not known here$/,
        ),
        expect.stringMatching(/^users-api: 1 problem in .*a\\u001b\[2J\\u000a\.jsonl; nothing was written$/),
        '',
      ]);
    });
  });

  describe('when Ctrl-C ends an import', () => {
    const CTRL_C = '\x03';

    /**
     * Whether modes of the terminal that were changed are as they were: each is set (h) or reset
     * (l) by its number.
     */
    const isRestored = (output: string): boolean => {
      const modes = new Map<string | undefined, string | undefined>();
      for (const [, mode, state] of output.matchAll(/\x1b\[\?(\d+)([hl])/g)) modes.set(mode, state);
      return [...modes.values()].every((state) => state === 'h');
    };

    it('reports how far it came, leaves the terminal as it was, and the next run does the rest', async () => {
      const own = await createDatabase();
      const users = 3_000;
      const rows = Array.from({ length: users }, (_, n) => `user-${String(n)}@example.com,User ${String(n)}`);
      const file = join(programs.cwd, 'many.csv');
      await writeFile(file, ['email,name', ...rows].join('\n'));
      const settings = { DATABASE_URL: own.url, NEW_USER_CREDITS: '5' };
      const count = async (): Promise<number> => {
        const rows = await administer<{ n: number }>('SELECT count(*)::int AS n FROM users', own.directUrl);
        return rows[0]?.n ?? NaN;
      };

      const program = programs.startInTerminal(['users', 'import', file], settings);
      while ((await count()) === 0) await turn();
      program.type(CTRL_C);
      const { code, stdout } = await program.end();
      const made = await count();
      const rest = await programs.cli(['users', 'import', file, '--json'], settings);

      expect(code).toBe(130);
      expect(made).toBeLessThan(users);
      expect(stdout).toContain(`${String(made)} users created, 0 already there.`);
      expect(stdout).toContain(
        `users-api: Interrupted after ${String(made)} of 3000 users; the same command imports the rest`,
      );
      expect(isRestored(stdout)).toBe(true);
      expect(JSON.parse(rest.stdout)).toEqual({ users, problems: [], created: users - made, existing: made });
      await own.drop();
    });

    it('leaves the terminal as it was while the file is checked', async () => {
      const file = join(programs.cwd, 'long.csv');
      await writeFile(file, `email,name\n${'nonsense,N\n'.repeat(1_000_000)}`);

      const program = programs.startInTerminal(['users', 'import', file], env);
      await program.says(/Checking/);
      program.type(CTRL_C);
      const { code, stdout } = await program.end();

      expect(code).toBe(130);
      expect(isRestored(stdout)).toBe(true);
      expect(stdout).toMatch(/Checking[^\n]*left[^\n]*\n$/); // the shell's prompt begins its own line
    });
  });
});
