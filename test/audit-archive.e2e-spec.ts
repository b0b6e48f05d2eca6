import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { ADVISORY_LOCKS } from '../src/database/advisory-locks.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { until } from './support/metrics.js';
import { Programs } from './support/server-process.js';

const run = promisify(execFile);

interface Done {
  readonly file: string;
  readonly events: number;
  readonly removed: number;
  readonly sha256: string;
}

describe('users-api audit archive', () => {
  let programs: Programs;
  let database: TestDatabase;
  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
  });
  beforeEach(async () => {
    database = await createDatabase();
  });
  afterEach(async () => {
    await database.drop();
    await Promise.all((await readdir(programs.cwd)).map((name) => rm(join(programs.cwd, name), { recursive: true })));
  });
  afterAll(() => programs.dispose());

  const rows = <T extends object>(sql: string): Promise<T[]> => administer<T>(sql, database.directUrl);
  const archive = (before: string, to = 'old.jsonl') =>
    programs.cli(['audit', 'archive', '--before', before, '--to', to, '--json'], { DATABASE_URL: database.url });
  const done = async (before: string, to?: string): Promise<Done> => {
    const { code, stdout, stderr } = await archive(before, to);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as Done;
  };
  /** Events of both years, of several actions and with equal instants: `count` of them are old. */
  const fill = (count: number): Promise<unknown> =>
    rows(`INSERT INTO audit_events (created_at, action, user_id, actor, changes)
      SELECT timestamptz '2020-12-31T23:59:59.999Z' - n % ${String(Math.ceil(count / 3))} * interval '1 h',
             (ARRAY['user.created', 'user.updated', 'api_key.created'])[1 + n % 3], gen_random_uuid(), 'APPLICATION',
             jsonb_build_object('name', jsonb_build_object('before', 'a' || chr(8232) || n, 'after', n))
        FROM generate_series(1, ${String(count)}) AS n;
      INSERT INTO audit_events (created_at, action, user_id, actor, changes)
      SELECT timestamptz '2021-01-01T00:00:00Z', 'user.updated', gen_random_uuid(), 'APPLICATION', '{}'
        FROM generate_series(1, 3)`);
  const stored = async (): Promise<string[]> =>
    (await rows<{ id: string }>(`SELECT id FROM audit_events WHERE action <> 'audit.archived' ORDER BY id`)).map(
      ({ id }) => id,
    );
  const archived = async (file = 'old.jsonl'): Promise<{ id: string; created_at: string }[]> =>
    (await readFile(join(programs.cwd, file), 'utf8'))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { id: string; created_at: string });

  it('writes the events before a day, the oldest first, with a checksum, records that, and removes them and no others', async () => {
    await fill(12_000);
    const before = await stored();

    const { events, removed, sha256 } = await done('2021-01-01');

    const file = await archived();
    const text = await readFile(join(programs.cwd, 'old.jsonl'));
    const [event] = await rows<{ changes: object; user_id: null; actor: string }>(
      `SELECT changes, user_id, actor FROM audit_events WHERE action = 'audit.archived'`,
    );
    expect({ events, removed }).toEqual({ events: 12_000, removed: 12_000 });
    expect(file).toHaveLength(12_000);
    expect([...(await stored()), ...file.map(({ id }) => id)].sort()).toEqual(before);
    expect(file.map(({ created_at: instant }) => instant)).toEqual(
      file.map(({ created_at: instant }) => instant).sort(),
    );
    expect(Object.keys(file[0] ?? {})).toEqual([
      ...['id', 'created_at', 'action', 'user_id', 'api_key_id', 'actor', 'actor_user_id', 'actor_key_id'],
      ...['request_id', 'actor_account', 'changes'],
    ]);
    expect(sha256).toBe(createHash('sha256').update(text).digest('hex'));
    expect((await run('sha256sum', ['--check', 'old.jsonl.sha256'], { cwd: programs.cwd })).stdout).toBe(
      'old.jsonl: OK\n',
    );
    expect((await stat(join(programs.cwd, 'old.jsonl'))).mode & 0o777).toBe(0o600);
    expect(event).toEqual({
      user_id: null,
      actor: 'COMMAND_LINE',
      changes: {
        file: { after: 'old.jsonl' },
        before: { after: '2021-01-01T00:00:00.000Z' },
        count: { after: 12_000 },
        first: { after: file[0]?.created_at },
        last: { after: '2020-12-31T23:59:59.999Z' },
        sha256: { after: sha256 },
      },
    });
    await expect(rows('DELETE FROM audit_events')).rejects.toMatchObject({ code: '23001' });
  });

  it('is repeated without effect, and goes on where a kill -9 has ended it', async () => {
    await fill(20);
    const all = await stored();
    const first = await done('2021-01-01');
    const file = await readFile(join(programs.cwd, 'old.jsonl'), 'utf8');
    const again = await done('2021-01-01');
    expect(again).toEqual({ ...first, removed: 0 });

    // As a kill leaves them: a part of the file; the whole file; the event, and a part of the rows.
    const restore = (ids: readonly string[]): Promise<unknown> =>
      rows(`INSERT INTO audit_events (id, created_at, action, user_id, actor, changes)
        SELECT id, created_at, action, user_id, actor, changes
          FROM json_populate_recordset(NULL::audit_events, '[${file.trim().split('\n').join()}]')
         WHERE id IN (${ids.map((id) => `'${id}'`).join()})`);
    const ids = (await archived()).map(({ id }) => id);
    await restore(ids.slice(5));
    expect(await done('2021-01-01')).toEqual({ ...first, removed: 15 });

    expect(await readFile(join(programs.cwd, 'old.jsonl'), 'utf8')).toBe(file);
    expect([...(await stored()), ...ids].sort()).toEqual(all);
    expect(await rows(`SELECT FROM audit_events WHERE action = 'audit.archived'`)).toHaveLength(1);
  });

  it.each([[1], [150], [400]])(
    'loses nothing and doubles nothing when it is killed after %d ms, and repeated',
    async (ms) => {
      await fill(12_000);
      const all = await stored();
      const words = ['audit', 'archive', '--before', '2021-01-01', '--to', 'old.jsonl'];
      const program = programs.start('cli', words, { DATABASE_URL: database.url });
      const observer = new Client({ connectionString: database.directUrl });
      await observer.connect();
      // From the moment on at which it is connected, whatever the start took.
      while (
        !program.hasEnded &&
        (await observer.query(`SELECT FROM pg_locks WHERE locktype = 'advisory'`)).rowCount === 0
      );
      await observer.query('SELECT pg_sleep($1)', [ms / 1_000]);
      await program.end('SIGKILL');
      await observer.end();

      const { events } = await done('2021-01-01');

      const ids = (await archived()).map(({ id }) => id);
      expect(events).toBe(12_000);
      expect([...(await stored()), ...ids].sort()).toEqual(all);
      expect(await rows(`SELECT FROM audit_events WHERE action = 'audit.archived'`)).toHaveLength(1);
    },
  );

  it('removes nothing by a file that is not what was written, or is another archive, or no complete one', async () => {
    await fill(120);
    await done('2020-12-31');
    const all = await stored();

    const other = await archive('2021-01-01');
    await appendFile(join(programs.cwd, 'old.jsonl'), '{}\n');
    const changed = await archive('2020-12-31');
    await rm(join(programs.cwd, 'old.jsonl.sha256'));
    const incomplete = await archive('2020-12-31');

    expect([other, changed, incomplete].map(({ code, stderr }) => [code, stderr.split(programs.cwd).join('')])).toEqual(
      [
        [1, 'users-api: /old.jsonl is the archive of the events before 2020-12-31: choose another file\n'],
        [1, 'users-api: /old.jsonl is not what was archived: its checksum is not that of /old.jsonl.sha256.\n'],
        [
          1,
          'users-api: /old.jsonl is not a complete archive: /old.jsonl.sha256 cannot be read. Choose another file.\n',
        ],
      ],
    );
    expect(await stored()).toEqual(all);
  });

  it('refuses a day that is none or is to come, and writes no file without events', async () => {
    const refused = [await archive('yesterday'), await archive('2999-01-01')];
    const nothing = await done('2000-01-01');

    expect(refused.map(({ stderr }) => stderr)).toEqual([
      'users-api: --before must be a date, such as 2026-01-31\n',
      'users-api: --before must be today or earlier\n',
    ]);
    expect(nothing).toMatchObject({ events: 0, removed: 0, sha256: null });
    expect(await readdir(programs.cwd)).toEqual([]);
  });

  it('keeps the events of archives, and removes none that is not of the period of its archive', async () => {
    await fill(120);
    await rows(
      `INSERT INTO audit_events (created_at, action, actor, changes) VALUES ('2020-12-31T12:00:00Z', 'audit.archived', 'APPLICATION', '{}')`,
    );
    await done('2020-12-31');
    expect((await done('2021-01-01', 'second.jsonl')).events).toBe(72);
    const archives = await rows<{ id: string }>(
      `SELECT id FROM audit_events WHERE action = 'audit.archived' AND actor = 'COMMAND_LINE' ORDER BY id`,
    );
    const all = await stored();
    const ids = (await rows<{ id: string }>('SELECT id FROM audit_events')).map((event) => event.id);
    const remove = (archive: string) =>
      rows<{ removed: number }>(`SELECT remove_archived_events('${archive}', '{${ids.join()}}') AS removed`);

    for (const { id } of archives) expect(await remove(id)).toEqual([{ removed: 0 }]);
    await expect(remove(all[0] ?? '')).rejects.toThrow(/no event tells of the archive/);
    expect(await stored()).toEqual(all);
    expect(archives).toHaveLength(2);
    expect(await rows(`SELECT FROM audit_events WHERE action = 'audit.archived'`)).toHaveLength(3);
  });

  it('refuses a file with an event of that day or later, and then records and removes nothing', async () => {
    await rows(`INSERT INTO audit_events (created_at, action, user_id, actor, changes)
      VALUES ('2020-06-01T00:00:00Z', 'user.updated', gen_random_uuid(), 'APPLICATION', '{}')`);
    await done('2020-06-02');
    const other = await createDatabase(); // where the archive is not recorded, as after a kill

    const { code, stderr } = await programs.cli(['audit', 'archive', '--before', '2020-06-01', '--to', 'old.jsonl'], {
      DATABASE_URL: other.url,
    });
    const recorded = await administer('SELECT FROM audit_events', other.directUrl);
    await other.drop();

    expect([code, stderr.replace(programs.cwd, '')]).toEqual([
      1,
      'users-api: /old.jsonl has events that are not from before that day: choose another file\n',
    ]);
    expect(recorded).toEqual([]);
  });

  // Killed after the file had its name, and before an event recorded it.
  it('continues an archive of which no event tells with its own day only', async () => {
    await fill(20);
    await rows(`CREATE TRIGGER tr_unrecorded BEFORE INSERT ON audit_events
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history()`);
    const unrecorded = await archive('2021-01-01');
    await rows('DROP TRIGGER tr_unrecorded ON audit_events');
    const all = await stored();

    const other = await archive('2021-01-02');
    expect([unrecorded.code, other.code]).toEqual([1, 1]);
    expect(other.stderr).toMatch(
      /old\.jsonl ends at 2020-12-31T23:59:59\.999Z, and later events are from before that day: choose another file\n$/,
    );
    expect(await stored()).toEqual(all);
    expect(await done('2021-01-01')).toMatchObject({ events: 20, removed: 20 });
  });

  it('is refused while another command archives', async () => {
    await fill(20);
    const all = await stored();
    const client = new Client({ connectionString: database.directUrl });
    await client.connect();
    await client.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCKS.auditArchive]);

    const { code, stderr } = await archive('2021-01-01');
    await client.end();

    expect([code, stderr]).toEqual([
      1,
      'users-api: Another command archives audit events at this moment. Run this one again when it has ended.\n',
    ]);
    expect(await stored()).toEqual(all);
    expect(await readdir(programs.cwd)).toEqual([]);
  });

  it('gives up, as an erasure does, while another transaction has written an event', async () => {
    await fill(20);
    await programs.cli(['users', 'create', '--email', 'ada@example.com', '--name', 'Ada'], {
      DATABASE_URL: database.url,
    });
    const all = await stored();
    const client = new Client({ connectionString: database.directUrl });
    await client.connect();
    await client.query('BEGIN');
    await client.query('LOCK TABLE audit_events IN ROW EXCLUSIVE MODE');

    const words = ['users', 'erase', '--email', 'ada@example.com'];
    const unconfirmed = await programs.cli(words, { DATABASE_URL: database.url });
    const [erased, removed] = await Promise.all([
      programs.cli([...words, '--yes'], { DATABASE_URL: database.url }),
      archive('2021-01-01'),
    ]);
    await client.end();

    expect(unconfirmed.stderr).toBe('users-api: This cannot be undone: confirm it with --yes\n');
    for (const { code, stderr } of [erased, removed]) {
      expect(code).toBe(1);
      expect(stderr).toMatch(/^users-api: Another transaction has held its lock on audit_events for 5 s/);
    }
    expect(await stored()).toEqual(all);
    expect(await done('2021-01-01')).toMatchObject({ events: 20, removed: 20 });
    const { stdout } = await programs.cli([...words, '--yes'], { DATABASE_URL: database.url });
    expect(stdout).toMatch(/^User \S+ was erased\. The address in its place is erased-\S+@erased\.invalid\.\n$/);
    const [, address = ''] = /is (\S+)\.\n/.exec(stdout) ?? [];
    const again = await programs.cli(['users', 'erase', '--yes', '--email', address], { DATABASE_URL: database.url });
    expect(again.stdout).toMatch(/^User \S+ had been erased already: nothing was changed\.\n$/);
    const unknown = await programs.cli([...words, '--yes'], { DATABASE_URL: database.url });
    expect(unknown.stderr).toBe('users-api: User with e-mail address ada@example.com not found\n');
  });

  // PostgreSQL has `transaction_timeout` from 17 on.
  it('is not ended by a timeout that the database sets, and neither is an erasure', async () => {
    await fill(20);
    const env = { DATABASE_URL: database.url };
    await programs.cli(['users', 'create', '--email', 'ada@example.com', '--name', 'Ada'], env);
    const client = new Client({ connectionString: database.directUrl }); // has no timeouts
    await client.connect();
    await rows(`DO $$
      DECLARE timeout text;
      BEGIN
        FOR timeout IN SELECT name FROM pg_settings
             WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout') LOOP
          EXECUTE format('ALTER DATABASE %I SET %I = 700', current_database(), timeout);
        END LOOP;
      END $$`);
    for (const work of [
      () => done('2021-01-01'),
      () => programs.cli(['users', 'erase', '--email', 'ada@example.com', '--yes'], env),
    ]) {
      await client.query('BEGIN; LOCK TABLE audit_events IN ROW EXCLUSIVE MODE');
      const running = work();
      await until(
        () => client.query(`SELECT FROM pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass`),
        ({ rowCount }) => rowCount === 1,
      );
      await client.query('SELECT pg_sleep(1)');
      await client.query('COMMIT');
      expect(await running).not.toMatchObject({ code: 1 });
    }
    await client.end();
  });

  it('users export prints one JSON document, which ends where the reader goes away', async () => {
    const env = { DATABASE_URL: database.url };
    await programs.cli(['users', 'create', '--email', 'ada@example.com', '--name', 'Ada'], env);
    const { code, stdout } = await programs.cli(['users', 'export', '--email', 'ada@example.com'], env);
    await rows(`INSERT INTO credit_entries (user_id, credits, balance_after, transaction_id, transaction_type, actor, created_at)
      SELECT id, 1, n, 'entry-' || n, 'TEST', 'APPLICATION', now() FROM users, generate_series(1, 20000) AS n`);
    const piped = await programs.shell(
      '{ $CLI users export --email ada@example.com; echo "status $?" >&2; } | head -c 1',
      env,
    );

    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ format: 'users-api/user-export', user: { email: 'ada@example.com' } });
    expect({ stdout: piped.stdout, stderr: piped.stderr }).toEqual({ stdout: '{', stderr: 'status 141\n' });

    const slow = programs.shell(
      '{ $CLI users export --email ada@example.com; echo "status $?" >&2; } | { until [ -e go ]; do sleep 0.1; done; cat; }',
      env,
    );
    const fetching = `pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'FETCH%'`;
    await until(
      () => rows(`SELECT ${fetching} AND state = 'idle in transaction' AND state_change < now() - interval '1 s'`),
      ({ length }) => length === 1,
    );
    await rows(`SELECT pg_terminate_backend(pid) FROM (SELECT ${fetching}) AS export`);
    await writeFile(join(programs.cwd, 'go'), '');
    const lost = await slow;
    expect(lost.stderr).toBe('users-api: The connection to the database was lost.\nstatus 1\n');
    expect(() => JSON.parse(lost.stdout) as unknown).toThrow(SyntaxError);
  });
});
