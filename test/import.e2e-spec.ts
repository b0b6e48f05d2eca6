import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { array, assert, asyncProperty, constantFrom, emailAddress, record, string } from 'fast-check';
import { parseUserName } from '../src/users/user-name.js';
import { checkUser, type UserRequest } from '../src/users/users.service.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { Programs } from './support/server-process.js';

const run = promisify(execFile);

interface Summary {
  readonly users: number;
  readonly problems: readonly { readonly line: number; readonly message: string }[];
  readonly created: number;
  readonly existing: number;
}

describe('users-api users import', () => {
  let programs: Programs;
  let database: TestDatabase;

  beforeEach(async () => {
    programs = await Programs.inEmptyDirectory();
    database = await createDatabase();
  });
  afterEach(async () => {
    await programs.dispose();
    await database.drop();
  });

  const file = async (name: string, content: string | Buffer): Promise<string> => {
    const path = join(programs.cwd, name);
    await writeFile(path, content);
    return path;
  };
  const env = (): NodeJS.ProcessEnv => ({ DATABASE_URL: database.url, NEW_USER_CREDITS: '5' });
  const start = (path: string, ...options: string[]) =>
    programs.cli(['users', 'import', path, '--json', ...options], env());
  const summary = async (path: string, ...options: string[]): Promise<Summary & { code: number | null }> => {
    const { stdout, code } = await start(path, ...options);
    return { ...(JSON.parse(stdout) as Summary), code };
  };
  const stored = () =>
    administer<{ email: string; name: string; credits: string }>(
      'SELECT email, name, credits_balance AS credits FROM users ORDER BY email',
      database.directUrl,
    );

  it('makes each user with an event and its first credits, and passes over those who are there', async () => {
    const csv = await file(
      'users.csv',
      '\ufeffname,email\r\n"Lovelace, Ada",Ada@Example.com\r\n\r\n"Two\r\nlines",two@example.com\r\n',
    );
    const jsonl = await file(
      'users.jsonl',
      '{"email": "ada@example.com", "name": "Another"}\n\n{"email": "grace@example.com", "name": " Grace "}\n',
    );

    // A line break is a control character, which no name has.
    expect(await summary(csv)).toEqual({
      users: 1,
      problems: [{ line: 4, message: expect.stringContaining('no control characters') }],
      created: 0,
      existing: 0,
      code: 1,
    });
    expect(await stored()).toEqual([]);
    await file('users.csv', 'email,name\nAda@Example.com,"Lovelace, Ada"\n');
    expect(await summary(csv)).toEqual({ users: 1, problems: [], created: 1, existing: 0, code: 0 });
    expect(await summary(jsonl, '--dry-run')).toMatchObject({ users: 2, created: 0 });
    expect(await summary(jsonl)).toEqual({ users: 2, problems: [], created: 1, existing: 1, code: 0 });
    expect(await stored()).toEqual([
      { email: 'Ada@Example.com', name: 'Lovelace, Ada', credits: '5' },
      { email: 'grace@example.com', name: 'Grace', credits: '5' },
    ]);
    expect(
      await administer('SELECT action, actor, changes FROM audit_events ORDER BY created_at', database.directUrl),
    ).toEqual(
      ['Lovelace, Ada', 'Grace'].flatMap((name) => [
        {
          action: 'user.created_by_import',
          actor: 'COMMAND_LINE',
          changes: expect.objectContaining({ name: { after: name } }),
        },
        { action: 'users.imported', actor: 'COMMAND_LINE', changes: { users: { after: 1 } } },
      ]),
    );
  });

  it('tells every bad line, and writes nothing', async () => {
    const csv = await file(
      'users.csv',
      [
        'email,name',
        'a@example.com,A',
        'nonsense,B',
        'c@example.com,',
        'A@example.com,D',
        'e@example.com,E,x',
        'f@example.com',
      ].join('\n'),
    );
    const jsonl = await file(
      'users.jsonl',
      [
        '{"email": "a@example.com", "name": "A"}',
        '{"email": "b@example.com"}',
        '{',
        '[]',
        '{"email": "c@example.com", "name": "C", "age": 1}',
        '{"email": "d@example.com", "name": "D", "name": "E"}',
        '{"email": "e@example.com", "name": "E\u2028E\u2029E", "x": 1}',
        '{"email": "f@example.com"}',
      ].join('\n'),
    );

    expect((await summary(csv)).problems.map(({ line }) => line)).toEqual([3, 4, 5, 6, 7]);
    expect((await summary(jsonl)).problems).toEqual([
      { line: 2, message: 'email and name must be strings' },
      { line: 3, message: 'the line must be valid JSON' },
      { line: 4, message: 'the line must be a JSON object' },
      { line: 5, message: 'the property "age" is not known here' },
      { line: 6, message: 'the line gives the property "name" twice' },
      { line: 7, message: 'the property "x" is not known here' }, // one line, although it contains U+2028 and U+2029
      { line: 8, message: 'email and name must be strings' },
    ]);
    expect(await stored()).toEqual([]);
  });

  it('reports a misplaced quotation mark by its line, and the problems around it', async () => {
    const csv = await file('users.csv', 'email,name\nnonsense,A\nb@example.com,Ada "The" L\nc@example.com\n');

    expect(await summary(csv)).toMatchObject({
      problems: [
        { line: 2, message: 'email must be an e-mail address' },
        { line: 3, message: 'the line is not CSV: a quotation mark is missing or misplaced' },
        { line: 4, message: 'the line has 1 field instead of 2' },
      ],
      code: 1,
    });
  });

  it('refuses a file that is not in UTF-8, that is not there, or whose kind it cannot tell', async () => {
    const latin = await file('users.csv', Buffer.from('email,name\na@example.com,\xe9\n', 'latin1'));
    const other = await file('users.txt', 'email,name\n');

    expect((await start(latin)).stderr).toContain('The file is not in UTF-8');
    expect((await start(join(programs.cwd, 'nowhere.csv'))).stderr).toContain('ENOENT');
    expect((await start(other)).stderr).toContain('must be named .csv or .jsonl');
    expect(await stored()).toEqual([]);
  });

  it('goes on where a killed run ended: each user once, with one event and one entry', async () => {
    const rows = Array.from({ length: 6_000 }, (_, n) => `user-${String(n)}@example.com,User ${String(n)}`);
    const csv = await file('users.csv', ['email,name', ...rows].join('\n'));
    const count = async (table: string): Promise<number> =>
      ((await administer(`SELECT count(*)::int AS n FROM ${table}`, database.directUrl)) as [{ n: number }])[0].n;

    const killed = programs.start('cli', ['users', 'import', csv, '--json'], env());
    while ((await count('users')) === 0) await new Promise(setImmediate);
    await killed.end('SIGKILL');
    const made = await count('users');
    const again = await summary(csv);

    expect(made).toBeLessThan(6_000);
    expect(again).toEqual({ users: 6_000, problems: [], created: 6_000 - made, existing: made, code: 0 });
    expect([await count('users'), await count('credit_entries')]).toEqual([6_000, 6_000]);
    expect(await count(`audit_events WHERE action = 'user.created_by_import'`)).toBe(6_000);
    expect(await count(`audit_events WHERE action = 'users.imported'`)).toBe(1); // of the run that ended
  });

  it('takes every name and address that the API takes, as the API would store them', async () => {
    let runs = 0;
    const isLegal = (request: UserRequest): boolean => {
      try {
        return Boolean(checkUser(request));
      } catch {
        return false;
      }
    };
    const people = array(record({ email: emailAddress(), name: string({ unit: 'grapheme', maxLength: 40 }) }), {
      minLength: 20,
    });
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;

    await assert(
      asyncProperty(people, constantFrom('csv', 'jsonl'), async (made, kind) => {
        runs += 1;
        const users = made
          .map(({ email, name }, n) => ({
            email: `${String(runs)}.${String(n)}.${email}`,
            name: `${name} "${String(n)}",`,
          }))
          .filter(isLegal);
        const content =
          kind === 'csv'
            ? ['email,name', ...users.map(({ email, name }) => `${quoted(email)},${quoted(name)}`)].join('\r\n')
            : users.map((user) => JSON.stringify(user)).join('\n');

        const { problems, created } = await summary(await file(`users.${kind}`, content));

        expect(users).not.toEqual([]);
        expect([problems, created]).toEqual([[], users.length]);
        const rows = new Map((await stored()).map(({ email, name }) => [email, name]));
        for (const { email, name } of users) expect(rows.get(email)).toBe(parseUserName(name));
      }),
      { numRuns: 3 },
    );
  });

  it('shows in a terminal how far it is, and nowhere else', async () => {
    const csv = await file('users.csv', 'email,name\na@example.com,A\n');
    const { PATH, HOME } = process.env;
    const command = `${process.execPath} dist/cli/cli.js users import ${csv} --dry-run`;
    const inTerminal = (line: string) =>
      run('script', ['-qec', line, '/dev/null'], { env: { PATH, HOME, TERM: 'xterm', ...env() } });

    const piped = await run('sh', ['-c', command], { env: { PATH, HOME, ...env() } });
    const shown = await inTerminal(command);
    const reconciled = await inTerminal(`${process.execPath} dist/cli/cli.js credits reconcile`);

    expect([piped.stdout, piped.stderr]).toEqual(['1 user could be imported.\n', '']);
    expect(shown.stdout).toMatch(/Checking .*100 %/);
    expect(reconciled.stdout).toMatch(/Reconciling .*100 %/);
  });
});
