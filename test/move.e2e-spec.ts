import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { ADVISORY_LOCKS } from '../src/database/advisory-locks.js';
import { administer, createDatabase, ownName, type TestDatabase } from './support/database.js';
import { ending } from './support/leftovers.js';
import { until } from './support/metrics.js';
import { type Ended, type Program, Programs } from './support/server-process.js';

/** A row of each table at least, with values that a text format could change. */
const ROWS = String.raw`
  INSERT INTO users (id, name, email, status, is_admin, credits_balance, version, rate_limit_per_minute, created_at, updated_at) VALUES
    ('00000000-0000-4000-8000-000000000001', 'Ada ''"\ \N 李 🦉', 'ada@example.com', 'ACTIVE', true, 9007199254740991, 7, NULL,
     '2026-01-31 23:59:59.999+00', '2026-03-29 02:30:00.001+01'),
    ('00000000-0000-4000-8000-000000000002', '\.', '"\\.'',%00"@example.com', 'INACTIVE', false, 0, 1, 60, '0001-01-01 00:00:00+00', 'infinity');
  INSERT INTO api_keys (id, user_id, name, prefix, secret_digest, expires_at, revoked_at, last_used_at, scopes, rate_limit_per_minute) VALUES
    ('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000001', 'all', 'ua_abcde', decode(repeat('00', 32), 'hex'), 'infinity', NULL, NULL, NULL, 0),
    ('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-000000000001', 'none', 'ua_abcde', decode(repeat('0a', 32), 'hex'), '2099-01-01', NULL, now(), '{}', NULL),
    ('00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-000000000002', 'some', 'ua_abcde', decode(repeat('5c', 32), 'hex'), '2020-01-01', '2019-01-01 00:00:00.5+00', NULL,
     '{jobs:write,ua:verify}', 5);
  INSERT INTO superseded_secrets (digest, api_key_id, superseded_at, expires_at) VALUES
    (decode(repeat('ff', 32), 'hex'), '00000000-0000-4000-8000-00000000000a', now(), '-infinity'),
    (decode(repeat('09', 32), 'hex'), '00000000-0000-4000-8000-00000000000a', '2026-01-01 00:00:00.123+00', 'infinity');
  INSERT INTO audit_events (action, user_id, api_key_id, actor, actor_user_id, actor_key_id, request_id, changes) VALUES
    ('user.updated', '00000000-0000-4000-8000-000000000001', NULL, 'APPLICATION', NULL, NULL, '\N',
     '{"name": {"before": "\t\n\\.", "after": "\u0001\"🦉"}, "n": 1.10, "big": 123456789012345678901234567890, "none": null, "list": [1, "a", {}]}'),
    ('api_key.revoked', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000b', 'API_KEY',
     '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', '', '{}');
  INSERT INTO credit_entries (user_id, credits, balance_after, transaction_id, transaction_type, actor, api_key_id, created_at) VALUES
    ('00000000-0000-4000-8000-000000000001', 9007199254740991, 9007199254740991, '\N', 'A', 'APPLICATION', NULL, '2026-01-01'),
    ('00000000-0000-4000-8000-000000000001', -1, 9007199254740990, E'a\tb\nc\r\\.\n', 'A', 'APPLICATION', '00000000-0000-4000-8000-00000000000a', '2026-01-02'),
    ('00000000-0000-4000-8000-000000000001', 1, 9007199254740991, '\.', 'A', 'COMMAND_LINE', NULL, '2026-01-03');
  INSERT INTO credit_holds (user_id, amount, status, created_at, expires_at, settled_at, captured, transaction_id, transaction_type, actor) VALUES
    ('00000000-0000-4000-8000-000000000001', 9007199254740991, 'EXPIRED', '2026-01-01', '2026-01-02', '2026-01-02', NULL, '\N held', 'A', 'APPLICATION'),
    ('00000000-0000-4000-8000-000000000001', 2, 'CAPTURED', '2026-01-01', '2026-01-03', '2026-01-02', 1, E'a\tb\nc\r\\.\n', 'A', 'APPLICATION')`;

/** Without those that hold nothing of their own: the texts of the search are made of the users. */
const tablesOf = async (url: string): Promise<string[]> => {
  const rows = await administer<{ name: string }>(
    `SELECT relname AS name FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND relname NOT IN ('migrations', 'renamed_users', 'user_search_texts') ORDER BY 1`,
    url,
  );
  return rows.map(({ name }) => name);
};

/** Every row of every table, as PostgreSQL writes it. */
async function contentOf(url: string): Promise<Record<string, string[]>> {
  const content: Record<string, string[]> = {};
  for (const table of await tablesOf(url)) {
    const rows = await administer<{ row: string }>(`SELECT t::text AS row FROM ${table} AS t ORDER BY 1`, url);
    content[table] = rows.map(({ row }) => row);
  }
  return content;
}

const shown = (text: string): string => {
  const url = new URL(text);
  if (url.password !== '') url.password = '***';
  return url.href;
};

const lengthsOf = (content: Record<string, string[]>): Record<string, number> =>
  Object.fromEntries(Object.entries(content).map(([table, rows]) => [table, rows.length]));

describe('users-api move', () => {
  let programs: Programs;
  let source: TestDatabase;
  let target: TestDatabase;
  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
  });
  beforeEach(async () => {
    [source, target] = await Promise.all([createDatabase(), createDatabase('empty')]);
    await administer(ROWS, source.directUrl);
  });
  afterEach(async () => {
    await Promise.all([source.drop(), target.drop()]);
  });
  afterAll(() => programs.dispose());

  const env = (): NodeJS.ProcessEnv => ({ DATABASE_URL: source.directUrl });
  const move = (...words: string[]): Promise<Ended> => programs.cli(['move', ...words], env());
  const moveToTarget = (...words: string[]): Promise<Ended> => move('--to', target.directUrl, ...words);
  /** A sentence with which a change is refused at the source, or undefined if it is taken. */
  const refusal = async (): Promise<string | undefined> => {
    try {
      await administer(`UPDATE users SET name = 'Changed'`, source.directUrl);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('copies every row of every table as it is, into an empty database that it migrates', async () => {
    const before = await contentOf(source.directUrl);
    const { code, stdout, stderr } = await moveToTarget('--json');
    const after = await contentOf(target.directUrl);

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(after).toEqual(before);
    const texts = 'SELECT user_id, version, text FROM user_search_texts ORDER BY 1';
    expect(await administer(texts, target.directUrl)).toEqual(await administer(texts, source.directUrl));
    const indexes = `SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`;
    expect(await administer(indexes, target.directUrl)).toEqual(await administer(indexes, source.directUrl));
    const estimates = `SELECT relname AS name, reltuples::int AS rows FROM pg_class WHERE relname = ANY ('{${[...Object.keys(before), 'user_search_texts'].join()}}')`;
    expect(
      Object.fromEntries(
        (await administer<{ name: string; rows: number }>(estimates, target.directUrl)).map(({ name, rows }) => [
          name,
          rows,
        ]),
      ),
    ).toEqual({ ...lengthsOf(before), user_search_texts: 2 });
    expect(Object.values(lengthsOf(before))).not.toContain(0); // or the comparison would not show it
    const analyzed = `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relname <> 'migrations' AND relnamespace = 'public'::regnamespace AND oid IN (SELECT starelid FROM pg_statistic)`;
    expect((await administer<{ name: string }>(analyzed, target.directUrl)).map(({ name }) => name).sort()).toEqual(
      [...Object.keys(before), 'user_search_texts'].sort(),
    );
    expect(JSON.parse(stdout)).toEqual({
      rows: lengthsOf(before),
      differences: [],
      database_url: shown(target.directUrl),
    });
  });

  it('leaves no sequence behind, and no stored column that it does not copy', async () => {
    const found = await administer(
      `SELECT relname AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' AND relname <> 'migrations_id_seq'`,
      source.directUrl,
    );

    expect(found).toEqual([]);
  });

  it('protects the ledger and the trail at the target as at the source, and grants a role what it needs', async () => {
    const role = ownName();
    await administer(`CREATE ROLE ${role}`);
    ending(() => administer(`DROP ROLE IF EXISTS ${role}`));

    const { code } = await moveToTarget('--grant-to', role);
    const disabled = await administer(`SELECT tgname FROM pg_trigger WHERE tgenabled <> 'O'`, target.directUrl);
    const [rights] = await administer(
      `SELECT has_table_privilege('${role}', 'users', 'UPDATE') AS changes, has_table_privilege('${role}', 'audit_events', 'DELETE') AS deletes`,
      target.directUrl,
    );
    await administer(`DROP OWNED BY ${role}`, target.directUrl);

    expect(code).toBe(0);
    expect(disabled).toEqual([]);
    expect(rights).toEqual({ changes: true, deletes: false });
    await expect(administer('DELETE FROM audit_events', target.directUrl)).rejects.toThrow('append-only');
    await expect(administer('DELETE FROM credit_entries', target.directUrl)).rejects.toThrow('append-only');
  });

  it('says what to set next, without the password, and closes the source until --reopen', async () => {
    const url = new URL(target.directUrl);
    const password = url.password === '' ? 'hidden-1' : url.password; // of a server that asks for none
    url.searchParams.set('password', password);
    const { code, stdout, stderr } = await programs.shell('printf %s "$TARGET" | $CLI move --to -', {
      ...env(),
      TARGET: url.href,
    });
    const closed = await refusal();
    const again = await move('--to', url.href);
    const reopened = await move('--reopen');

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`: ${shown(url.href).replace(password, '***')}\n`);
    expect(stdout + again.stderr).not.toContain(password);
    expect(closed).toContain('read-only transaction');
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('The target has rows in users') });
    expect(reopened).toMatchObject({ code: 0, stdout: expect.stringContaining('is writable again') });
    expect(await refusal()).toBeUndefined();
  });

  it('reports what the ledger does not add up to, as the source has it', async () => {
    await administer('UPDATE users SET credits_balance = 5 WHERE NOT is_admin', source.directUrl);

    const { code, stdout, stderr } = await moveToTarget('--json');

    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ differences: [{ stored: 5, expected: 0 }] });
    expect(stderr).toContain('1 difference in the ledger, as at the source');
  });

  it.each([
    ['with rows', `INSERT INTO users (name, email) VALUES ('Bob', 'bob@example.com')`, 'The target has rows in users'],
    [
      'of a later version',
      `INSERT INTO migrations (timestamp, name) VALUES (9999999999999, 'Later9999999999999')`,
      'The target has the migrations Later9999999999999',
    ],
  ])('refuses a target %s, and leaves both as they are', async (_, change, message) => {
    const migrated = await createDatabase();
    await administer(change, migrated.directUrl);
    const before = await contentOf(migrated.directUrl);

    const { code, stderr } = await move('--to', migrated.directUrl);

    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(message) });
    expect(await contentOf(migrated.directUrl)).toEqual(before);
    expect(await refusal()).toBeUndefined();
    await migrated.drop();
  });

  it('runs no migration on a target with rows', async () => {
    const older = await createDatabase();
    await administer(
      `INSERT INTO users (name, email) VALUES ('Bob', 'bob@example.com');
       DELETE FROM migrations WHERE id = (SELECT max(id) FROM migrations)`,
      older.directUrl,
    );
    const migrations = (): Promise<unknown> => administer('SELECT name FROM migrations', older.directUrl);
    const before = await migrations();

    const { code, stderr } = await move('--to', older.directUrl);

    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('The target has rows in users') });
    expect(await migrations()).toEqual(before);
    await older.drop();
  });

  it.each([
    [
      'an older schema',
      'DELETE FROM migrations WHERE id = (SELECT max(id) FROM migrations)',
      /The source lacks the migrations \w+: run "npm run migration:run" on it/,
    ],
    [
      'a later schema',
      `INSERT INTO migrations (timestamp, name) VALUES (9999999999999, 'Later9999999999999')`,
      /Later9999999999999, which this version does not know: move it with the version that does/,
    ],
    ['no tables of ours', 'DROP TABLE migrations', /The source has no tables of the Users API/],
  ])('refuses a source with %s, and names the remedy', async (_, change, message) => {
    await administer(change, source.directUrl);

    const { code, stderr } = await moveToTarget();

    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(await refusal()).toBeUndefined();
  });

  it('refuses a source that is in use, and takes its changes as before', async () => {
    const client = new Client({ connectionString: source.directUrl });
    await client.connect();
    const end = ending(() => client.end());

    const { code, stderr } = await moveToTarget();
    await end();

    expect(code).toBe(1);
    expect(stderr).toMatch(/^users-api: The source is in use \(1 of \w+\): stop the application/);
    expect(await refusal()).toBeUndefined();
  });

  it('leaves a source closed that was so before, where it refuses to move it', async () => {
    const name = new URL(source.directUrl).pathname.slice(1);
    await administer(`ALTER DATABASE ${name} SET default_transaction_read_only = on`); // as a kill leaves it
    const client = new Client({ connectionString: source.directUrl });
    await client.connect();
    const end = ending(() => client.end());

    const { stderr } = await moveToTarget();
    await end();

    expect(stderr).toMatch(/^users-api: The source is in use/);
    expect(await refusal()).toContain('read-only transaction');
  });

  it('refuses a target that gets rows while it waits for the tables', async () => {
    const migrated = await createDatabase();
    const client = new Client({ connectionString: migrated.directUrl });
    await client.connect();
    const end = ending(() => client.end());
    await client.query(`BEGIN; INSERT INTO users (name, email) VALUES ('Bob', 'bob@example.com')`);
    const moving = programs.start('cli', ['move', '--to', migrated.directUrl], env());
    const waiting = `SELECT FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
    while (!moving.hasEnded && (await client.query(waiting)).rowCount === 0);
    await client.query('COMMIT');

    const { code, stderr } = await moving.end();
    const users = await client.query('SELECT name FROM users');
    await end();
    await migrated.drop();

    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('The target has rows in users') });
    expect(users.rows).toEqual([{ name: 'Bob' }]);
    expect(await refusal()).toBeUndefined();
  });

  it('refuses a URL that is none for DATABASE_URL, and repeats nothing of it', async () => {
    const answers = [
      await move('--to', 'mysql://app:hidden@127.0.0.1/x'),
      await move('--to', 'postgresql://app:hid#den@127.0.0.1/x'),
      await move('--to', 'postgresql://app:hidden@a,b/x'),
      await move(),
      await moveToTarget('--reopen'),
    ];

    expect(answers.map(({ code }) => code)).toEqual([1, 1, 1, 1, 1]);
    expect(answers.map(({ stderr }) => stderr).join('')).not.toMatch(/hid|den/);
  });

  it('refuses a role that does not own the target, or the source', async () => {
    const role = ownName();
    await administer(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
    ending(() => administer(`DROP ROLE IF EXISTS ${role}`));
    const migrated = await createDatabase();
    const by = ({ directUrl }: TestDatabase): string =>
      Object.assign(new URL(directUrl), { username: role, password: 'x' }).href;
    for (const { directUrl } of [source, migrated])
      await administer(
        `GRANT USAGE ON SCHEMA public TO ${role}; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO ${role}`,
        directUrl,
      );

    const toOthers = await move('--to', by(migrated));
    const ofOthers = await programs.cli(['move', '--to', migrated.directUrl], { DATABASE_URL: by(source) });
    for (const { directUrl } of [source, migrated]) await administer(`DROP OWNED BY ${role}`, directUrl);
    await migrated.drop();

    expect(toOthers).toMatchObject({ code: 1, stderr: expect.stringContaining('must own its tables') });
    expect(ofOthers).toMatchObject({ code: 1, stderr: expect.stringContaining('does not own the source') });
    expect(await refusal()).toBeUndefined();
  });

  describe('that is interrupted while it copies', () => {
    /** A lock for which the target waits at the last table. */
    const LOCK = Math.max(...Object.values(ADVISORY_LOCKS)) + 1;
    let holder: Client;
    let release: () => Promise<void>;
    beforeEach(async () => {
      const migrated = await createDatabase();
      await target.drop();
      target = migrated;
      await administer(
        `CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql AS $$
           BEGIN PERFORM pg_advisory_xact_lock_shared(${String(LOCK)}); RETURN true; END $$;
         ALTER TABLE credit_entries ADD CONSTRAINT ck_waits CHECK (waits())`,
        target.directUrl,
      );
      holder = new Client({ connectionString: target.directUrl });
      await holder.connect();
      await holder.query('SELECT pg_advisory_lock($1)', [LOCK]);
      release = ending(() => holder.end());
    });
    afterEach(() => release());

    const waiting = async (): Promise<number | null> => {
      const { rowCount } = await holder.query(
        `SELECT FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      );
      return rowCount;
    };
    const untilItWaits = async (program: Program): Promise<void> => {
      while (!program.hasEnded) {
        if ((await waiting()) === 1) return;
        await sleep(20);
      }
      throw new Error(`It has ended: ${program.stderr}`);
    };

    it.each([
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const)('by %s leaves the target empty and the source as it was, and is repeated', async (signal, status) => {
      const before = await contentOf(source.directUrl);
      const interrupted = programs.start('cli', ['move', '--to', target.directUrl], env());
      await untilItWaits(interrupted);
      const { code, stderr } = await interrupted.end(signal);
      const taken = await refusal();
      await administer(`UPDATE users SET name = 'Again'`, source.directUrl);
      await release();
      const again = await moveToTarget();

      expect({ code, taken }).toEqual({ code: status, taken: undefined });
      expect(stderr).toContain('the target is still empty');
      expect(again).toMatchObject({ code: 0, stderr: '' });
      expect(lengthsOf(await contentOf(target.directUrl))).toEqual(lengthsOf(before));
      expect(await contentOf(target.directUrl)).toEqual(await contentOf(source.directUrl));
    });

    it('by SIGKILL leaves the target empty and the source closed, and is repeated', async () => {
      const before = await contentOf(source.directUrl);
      const killed = programs.start('cli', ['move', '--to', target.directUrl], env());
      await untilItWaits(killed);
      await killed.end('SIGKILL');
      const closed = await refusal();
      const { rows } = await holder.query<{ notices: boolean }>(
        `SELECT current_setting('server_version_num')::int >= 140000 AS notices`,
      );
      if (rows[0]?.notices) await until(waiting, (count) => count === 0); // its statement ends without the lock
      await release();
      const again = await moveToTarget();

      expect(closed).toContain('read-only transaction');
      expect(again).toMatchObject({ code: 0, stderr: '' });
      expect(await contentOf(target.directUrl)).toEqual(before);
      expect(await contentOf(source.directUrl)).toEqual(before);
    });

    // The source is closed and the target full by then: the message must not suggest that nothing
    // has happened.
    it.each([
      ['SIGINT', 130, /^users-api: Interrupted\. The move is complete, .* run users-api credits reconcile\n$/],
      [
        'a lost connection',
        1,
        /^users-api: The move is complete, .* run users-api credits reconcile \(.*connection.*\)\n$/,
      ],
    ])('while the ledger is reconciled, by %s, says that the move is complete', async (by, status, message) => {
      const before = await contentOf(source.directUrl);
      const moving = programs.start('cli', ['move', '--to', target.directUrl], env());
      await untilItWaits(moving);
      const locker = new Client({ connectionString: target.directUrl });
      await locker.connect();
      const locked = locker.query('BEGIN; LOCK TABLE credit_holds IN ACCESS EXCLUSIVE MODE');
      await holder.query('SELECT pg_advisory_unlock($1)', [LOCK]);
      await locked;
      const waiting = `SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'credit_holds'::regclass`;
      await until(
        () => locker.query(waiting),
        ({ rowCount }) => rowCount === 1,
      );
      const ended = moving.end(by === 'SIGINT' ? by : undefined);
      if (by !== 'SIGINT') await locker.query(`SELECT pg_terminate_backend(pid) FROM (${waiting}) AS waiting`);
      await sleep(200);
      await locker.end();
      const { code, stderr } = await ended;

      expect({ code, stderr }).toEqual({ code: status, stderr: expect.stringMatching(message) as string });
      expect(await contentOf(target.directUrl)).toEqual(before);
      expect(await refusal()).toContain('read-only transaction');
    });

    it('shows its progress in a terminal', async () => {
      const terminal = programs.startInTerminal(['move', '--to', `'${target.directUrl}'`], env());
      await terminal.says(/Moving .* \d+ %/);
      await release();
      const { code, stdout } = await terminal.end();

      expect(code).toBe(0);
      expect(stdout).toMatch(/Moving .* 100 %/);
    });
  });
});

describe('users-api move of the database that the app runs by itself', () => {
  it('is refused while the app runs; later the app serves at the target, and nothing is changed at the source', async () => {
    const programs = await Programs.inEmptyDirectory();
    const target = await createDatabase('empty');
    const server = await programs.startServer();
    const [key = ''] = await server.says(/ua_[0-9A-Za-z]{49}/);
    const patch = async (url: string, name: string): Promise<number> => {
      const headers = { 'x-api-key': key, 'content-type': 'application/json' };
      const body = JSON.stringify({ name });
      return (await fetch(`${url}/v1/users/me`, { method: 'PATCH', headers, body })).status;
    };
    const served = [await patch(server.url, 'Before')];
    const move = (...words: string[]): Promise<Ended> => programs.cli(['move', ...words]);

    const whileItRuns = await move('--to', target.directUrl);
    served.push(await patch(server.url, 'Still'));
    await server.end('SIGTERM');
    const moved = await move('--to', target.directUrl);
    const [there, here] = [
      await programs.startServer({ DATABASE_URL: target.directUrl }),
      await programs.startServer(),
    ];
    served.push(await patch(there.url, 'There'), await patch(here.url, randomUUID()));
    await Promise.all([there.end('SIGTERM'), here.end('SIGTERM')]);
    await programs.dispose();
    const names = await administer('SELECT name FROM users', target.directUrl);
    await target.drop();

    expect(whileItRuns).toMatchObject({ code: 1, stderr: expect.stringContaining('The source is in use') });
    expect(moved.code).toBe(0);
    expect(served).toEqual([200, 200, 200, 503]);
    expect(names).toEqual([{ name: 'There' }]);
  });
});
