import { chmod, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { ADVISORY_LOCKS } from '../src/database/advisory-locks.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { type Program, Programs } from './support/server-process.js';

const KEY = /ua_[0-9A-Za-z]{49}/;

describe('users-api', () => {
  let programs: Programs;
  let database: TestDatabase;
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
    database = await createDatabase();
    env = { DATABASE_URL: database.url };
  });
  afterAll(async () => {
    await programs.dispose();
    await database.drop();
  });

  it('users create --json prints the user and its key, alone on stdout', async () => {
    const { code, stdout, stderr } = await programs.cli(
      ['users', 'create', '--email', 'ada@example.com', '--name', ' Ada ', '--json'],
      env,
    );

    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      user: {
        id: expect.any(String),
        created_at: expect.any(String),
        updated_at: expect.any(String),
        status: 'ACTIVE',
        name: 'Ada',
        email: 'ada@example.com',
        credits_balance: 0,
        is_admin: false,
        rate_limit_per_minute: null,
      },
      api_key: expect.stringMatching(KEY),
      api_key_expires_at: expect.any(String),
    });
    const [stored] = await administer<{ expiry: Date }>(
      `SELECT expires_at AS expiry FROM api_keys`,
      database.directUrl,
    );
    expect(JSON.parse(stdout)).toMatchObject({ api_key_expires_at: stored?.expiry.toISOString() });
  });

  it('users create shows the key and its expiry once to people', async () => {
    const { code, stdout } = await programs.cli(
      ['users', 'create', '--email', 'bob@example.com', '--name', 'Bob', '--admin', '--expires-in-days', '7'],
      env,
    );

    expect(code).toBe(0);
    const [, expiry = ''] =
      /^User [0-9a-f-]{36} <bob@example\.com> was created\. Its API key expires at (\S+), and is shown only now:$/m.exec(
        stdout,
      ) ?? [];
    const [stored] = await administer<{ expiry: Date }>(
      `SELECT k.expires_at AS expiry FROM api_keys k JOIN users u ON u.id = k.user_id WHERE u.email = 'bob@example.com'`,
      database.directUrl,
    );
    expect(expiry).toBe(stored?.expiry.toISOString());
    expect(stdout.match(new RegExp(KEY, 'g'))).toHaveLength(1);
    expect(stdout.split(expiry)).toHaveLength(2);
  });

  it('creates keys with scopes, lists these, and refuses scopes that the API refuses', async () => {
    const cli = (...words: string[]) => programs.cli(words, env);
    await cli('users', 'create', '--email', 'sam@example.com', '--name', 'Sam');
    const create = (name: string, ...words: string[]) =>
      cli('keys', 'create', '--email', 'sam@example.com', '--name', name, ...words);

    const created = [
      await create('some', '--scope', 'ua:verify', '--scope', 'jobs:write'),
      await create('none', '--no-scopes'),
      await create('all'),
    ];
    const refused = [
      await create('bad', '--scope', 'Jobs'),
      await create('bad', '--scope', 'ua:everything'),
      await create('bad', '--scope', 'a', '--no-scopes'),
    ];

    expect(created.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(refused.map(({ code, stdout }) => [code, stdout])).toEqual(Array(3).fill([1, '']));
    expect(refused[0]?.stderr).toMatch(/^users-api: scopes must be null or at most 32 names/);
    expect(refused[2]?.stderr).toMatch(/'--no-scopes' cannot be used with option '--scope <scope>'/);
    const listed = await cli('keys', 'list', '--email', 'sam@example.com', '--json');
    const keys = JSON.parse(listed.stdout) as { name: string; scopes: unknown }[];
    expect(Object.fromEntries(keys.map(({ name, scopes }) => [name, scopes]))).toMatchObject({
      some: ['jobs:write', 'ua:verify'],
      none: [],
      all: null,
    });
  });

  it('creates users and keys with rate limits, shows these, and refuses limits that the API refuses', async () => {
    const cli = (...words: string[]) => programs.cli(words, env);
    const limit = (requests: string) => ['--rate-limit-per-minute', requests];
    const user = ['--email', 'tim@example.com'];

    await cli('users', 'create', ...user, '--name', 'Tim', ...limit('600'));
    await cli('keys', 'create', ...user, '--name', 'slow', ...limit('5'));
    await cli('keys', 'create', ...user, '--name', 'free', ...limit('0'));
    const refused = [
      await cli('users', 'create', '--email', 'x@example.com', '--name', 'X', ...limit('0')),
      await cli('keys', 'create', ...user, '--name', 'bad', ...limit('1000000000')),
    ];

    expect(refused.map(({ code, stdout }) => [code, stdout])).toEqual(Array(2).fill([1, '']));
    expect(refused[0]?.stderr).toContain('It must be an integer from 1 to 999999999.');
    expect(JSON.parse((await cli('users', 'show', ...user, '--json')).stdout)).toMatchObject({
      rate_limit_per_minute: 600,
    });
    const keys = JSON.parse((await cli('keys', 'list', ...user, '--json')).stdout) as Record<string, unknown>[];
    expect(keys.map((key) => [key.name, key.rate_limit_per_minute])).toEqual([
      ['free', 0],
      ['slow', 5],
      ['first-key', null],
    ]);
    const columns = async (command: string): Promise<string> => (await cli(command, 'list', ...user)).stdout;
    expect(await columns('users')).toMatch(/RATE LIMIT[^]* 600 /);
    expect(await columns('keys')).toMatch(/RATE LIMIT[^]*free [^]* none [^]*slow [^]* 5 [^]*first-key [^]* default /);
  });

  it('makes keys that the API takes, until they expire', async () => {
    const server = await programs.startServer(env);
    const made = await programs.cli(['users', 'create', '--email', 'eve@example.com', '--name', 'Eve', '--json'], env);
    const { api_key: first } = JSON.parse(made.stdout) as { api_key: string };

    const second = await programs.cli(
      ['keys', 'create', '--email', 'EVE@example.com', '--name', 'ci', '--expires-in-days', '1'],
      env,
    );

    for (const key of [first, KEY.exec(second.stdout)?.[0] ?? '']) {
      const answer = await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key } });
      expect(await answer.json()).toMatchObject({ name: 'Eve' });
    }
    await server.end('SIGTERM');
  });

  it('users list draws a table, the newest user first, or prints an array with --json', async () => {
    const env = { DATABASE_URL: (await createDatabase()).url };
    await programs.cli(['users', 'create', '--email', 'old@example.com', '--name', 'Old'], env);
    await programs.cli(['users', 'create', '--email', 'new@example.com', '--name', 'New'], env);

    const table = await programs.cli(['users', 'list'], env);
    const json = await programs.cli(['users', 'list', '--json', '--limit', '1'], env);

    expect(table.stdout).toMatch(/E-MAIL[\s\S]+new@example\.com[\s\S]+old@example\.com/);
    expect(table.stderr).toBe('');
    expect(JSON.parse(json.stdout)).toEqual([expect.objectContaining({ email: 'new@example.com' })]);
    expect(json.stderr).toBe('This is the newest one, and there are more: --limit accepts up to 10000.\n');
  });

  it('users list filters by status and by the whole address, as HTTP does', async () => {
    const own = await createDatabase();
    await administer(
      `INSERT INTO users (name, email, status) VALUES ('A', 'a@example.com', 'ACTIVE'), ('B', 'B@example.com', 'INACTIVE');
       INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT id, 'laptop', now(), 'acme_00000', sha256(email::bytea) FROM users WHERE name = 'B'`,
      own.directUrl,
    );
    const listed = async (...filter: string[]): Promise<unknown> => {
      const { code, stdout } = await programs.cli(['users', 'list', '--json', ...filter], { DATABASE_URL: own.url });
      return { code, emails: (JSON.parse(stdout) as { email: string }[]).map(({ email }) => email) };
    };

    expect(await listed('--status', 'INACTIVE')).toEqual({ code: 0, emails: ['B@example.com'] });
    expect(await listed('--email', 'b@EXAMPLE.com')).toEqual({ code: 0, emails: ['B@example.com'] });
    expect(await listed('--api-key-prefix', 'acme_00000')).toEqual({ code: 0, emails: ['B@example.com'] });
    expect(await listed('--api-key-prefix', 'acme_00000', '--status', 'ACTIVE')).toEqual({ code: 0, emails: [] });
    expect(await listed('--email', 'b@example.com', '--status', 'ACTIVE')).toEqual({ code: 0, emails: [] });
    await own.drop();
  });

  it('users list searches, and filters by creation and role, as HTTP does', async () => {
    const own = await createDatabase();
    await administer(
      `INSERT INTO users (name, email, is_admin, created_at)
       VALUES ('Ada Lovelace', 'a@example.com', true, '2020-01-01T00:00:00Z'), ('Grace', 'love@example.com', false, '2020-01-02T00:00:00Z')`,
      own.directUrl,
    );
    const list = (...filter: string[]) =>
      programs.cli(['users', 'list', '--json', ...filter], { DATABASE_URL: own.url });
    const listed = async (...filter: string[]): Promise<unknown> =>
      (JSON.parse((await list(...filter)).stdout) as { email: string }[]).map(({ email }) => email);

    expect(await listed('--search', 'LOVE')).toEqual(['love@example.com', 'a@example.com']);
    expect(await listed('--search', 'love', '--admin')).toEqual(['a@example.com']);
    expect(await listed('--no-admin')).toEqual(['love@example.com']);
    expect(await listed('--created-after', '2020-01-02T00:00:00Z')).toEqual(['love@example.com']);
    expect(await listed('--created-before', '2020-01-02T00:00:00Z')).toEqual(['a@example.com']);
    expect(await list('--search', 'lo')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'users-api: search must have 3 to 255 characters, and no control characters\n',
    });
    expect((await list('--created-after', '2020-01-02')).stderr).toContain('It must be an instant in RFC 3339');
    await own.drop();
  });

  it('audit list tells who changed what, with the account that ran a command, and filters as HTTP does', async () => {
    const own = await createDatabase();
    const run = (...words: string[]) => programs.cli(words, { DATABASE_URL: own.url });
    const made = await run('users', 'create', '--email', 'ada@example.com', '--name', 'Ada', '--json');
    await run('users', 'deactivate', '--email', 'ada@example.com');
    const { user } = JSON.parse(made.stdout) as { user: { id: string } };
    const listed = async (...filter: string[]): Promise<unknown> =>
      (JSON.parse((await run('audit', 'list', '--json', ...filter)).stdout) as { action: string }[]).map(
        ({ action }) => action,
      );
    const today = new Date().toISOString().slice(0, 10);

    const [newest] = JSON.parse((await run('audit', 'list', '--json', '--limit', '1')).stdout) as object[];
    const table = await run('audit', 'list', '--action', 'user.updated');

    expect(newest).toEqual({
      id: expect.any(String),
      created_at: expect.any(String),
      action: 'user.updated',
      user_id: user.id,
      api_key_id: null,
      actor: 'COMMAND_LINE',
      actor_user_id: null,
      actor_key_id: null,
      request_id: null,
      actor_account: userInfo().username,
      changes: { status: { before: 'ACTIVE', after: 'INACTIVE' } },
    });
    expect(table.stdout).toContain(`COMMAND_LINE ${userInfo().username}`);
    expect(await listed('--email', 'ADA@example.com', '--exclude-action', 'api_key.created')).toEqual([
      'user.updated',
      'user.created',
    ]);
    expect(await listed('--user-id', user.id, '--end-date', '2000-01-01')).toEqual([]);
    expect(await listed('--start-date', today, '--action', 'user.created')).toEqual(['user.created']);
    expect(await listed('--actor-user-id', user.id)).toEqual([]);
    expect((await run('audit', 'list', '--api-key-id', 'x')).stderr).toBe('users-api: api_key_id must be a UUID\n');
    expect((await run('audit', 'list', '--request-id', 'x')).stderr).toMatch(/^users-api: request_id was chosen/);
    expect((await run('audit', 'list', '--action', 'x')).stderr).toContain('Allowed choices are user.created, ');
    await own.drop();
  });

  it('users show, deactivate and activate print the user, and change whether its keys work', async () => {
    const server = await programs.startServer(env);
    const made = await programs.cli(['users', 'create', '--email', 'moe@example.com', '--name', 'Moe', '--json'], env);
    const { api_key: key } = JSON.parse(made.stdout) as { api_key: string };
    const run = async (command: string) =>
      JSON.parse(
        (await programs.cli(['users', command, '--email', 'MOE@example.com', '--json'], env)).stdout,
      ) as object;
    const works = async () => (await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key } })).status;

    expect([await run('show'), await works()]).toEqual([
      expect.objectContaining({ email: 'moe@example.com', status: 'ACTIVE' }),
      200,
    ]);
    expect([await run('deactivate'), await works()]).toEqual([expect.objectContaining({ status: 'INACTIVE' }), 401]);
    expect([await run('activate'), await works()]).toEqual([expect.objectContaining({ status: 'ACTIVE' }), 200]);
    await server.end('SIGTERM');
  });

  it('users update corrects address, name and role, and keeps the last administrator', async () => {
    const own = await createDatabase();
    const run = (...words: string[]) => programs.cli(['users', ...words], { DATABASE_URL: own.url });
    await run('create', '--email', 'ada@example.com', '--name', 'Ada', '--admin');
    await run('create', '--email', 'bob@example.com', '--name', 'Bob');
    const update = (email: string, ...words: string[]) => run('update', '--email', email, ...words);

    const corrected = await update(
      'ADA@example.com',
      ...['--set-email', 'ada@example.org', '--set-name', ' Ada L. ', '--json'],
    );
    const taken = await update('bob@example.com', '--set-email', 'Ada@example.org');
    const last = await update('ada@example.org', '--no-admin');
    const nothing = await update('ada@example.org');
    const promoted = await update('bob@example.com', '--admin');
    const demoted = await update('ada@example.org', '--no-admin', '--json');
    const events = await administer(
      `SELECT actor, changes FROM audit_events WHERE action = 'user.updated' ORDER BY id`,
      own.directUrl,
    );
    await own.drop();

    expect(JSON.parse(corrected.stdout)).toMatchObject({ email: 'ada@example.org', name: 'Ada L.', is_admin: true });
    expect([taken, last, nothing].map(({ code, stderr }) => [code, stderr])).toEqual([
      [1, 'users-api: There is already a user with this e-mail address\n'],
      [1, 'users-api: The last active administrator cannot be deactivated, demoted or erased\n'],
      [1, 'users-api: Specify a change with --set-email, --set-name, --admin or --no-admin\n'],
    ]);
    expect(promoted.code).toBe(0);
    expect(JSON.parse(demoted.stdout)).toMatchObject({ is_admin: false });
    expect(events).toEqual(
      [
        { email: { before: 'ada@example.com', after: 'ada@example.org' }, name: { before: 'Ada', after: 'Ada L.' } },
        { is_admin: { before: false, after: true } },
        { is_admin: { before: true, after: false } },
      ].map((changes) => ({ actor: 'COMMAND_LINE', changes })),
    );
  });

  it('keys list, rotate and revoke do what the API does, and the audit trail names the command line', async () => {
    await programs.cli(['users', 'create', '--email', 'zoe@example.com', '--name', 'Zoe'], env);
    const zoe = ['--email', 'zoe@example.com'];

    const rotated = await programs.cli(
      ['keys', 'rotate', ...zoe, '--name', 'first-key', '--overlap-seconds', '60', '--json'],
      env,
    );
    const revoked = await programs.cli(['keys', 'revoke', ...zoe, '--name', 'first-key'], env);
    const listed = await programs.cli(['keys', 'list', ...zoe, '--json'], env);
    const again = await programs.cli(['keys', 'rotate', ...zoe, '--name', 'first-key'], env);

    expect(JSON.parse(rotated.stdout)).toEqual({
      api_key: expect.stringMatching(KEY),
      api_key_expires_at: (JSON.parse(listed.stdout) as { expires_at: string }[])[0]?.expires_at,
    });
    expect(revoked.stdout).toMatch(/NAME[\s\S]+first-key[\s\S]+REVOKED/);
    expect(JSON.parse(listed.stdout)).toEqual([
      expect.objectContaining({ name: 'first-key', status: 'REVOKED', last_used_at: null }),
    ]);
    expect([again.code, again.stderr]).toEqual([1, 'users-api: The API key is REVOKED, which is final\n']);
    const trail = await administer(
      `SELECT action FROM audit_events e JOIN users u ON u.id = e.user_id WHERE u.email = 'zoe@example.com' AND actor = 'COMMAND_LINE'`,
      database.url,
    );
    expect(trail.map((event) => (event as { action: string }).action).sort()).toEqual([
      'api_key.created',
      'api_key.revoked',
      'api_key.rotated',
      'user.created',
    ]);
  });

  it('credits hold, capture, void, holds and balance hold credits, and end holds; repeats are told', async () => {
    const own = await createDatabase();
    const run = (...words: string[]) => programs.cli(['credits', ...words], { DATABASE_URL: own.url });
    await programs.cli(['users', 'create', '--email', 'sue@example.com', '--name', 'Sue'], { DATABASE_URL: own.url });
    const sue = ['--email', 'sue@example.com'];
    const job = [...sue, '--amount', '7', '--transaction-id', 'job', '--type', 'TRAINING', '--expires-in', '3600'];
    await run('add', ...sue, '--amount', '10', '--transaction-id', 'start');

    const held = await run('hold', ...job, '--json');
    const again = await run('hold', ...job, '--json');
    const tooMuch = await run('hold', ...sue, '--amount', '4', '--transaction-id', 'other');
    const balance = await run('balance', ...sue, '--json');
    const hold = JSON.parse(held.stdout) as { id: string; created_at: string; expires_at: string };
    const captured = await run('capture', '--hold', hold.id, '--amount', '5', '--json');
    const capturedAgain = await run('capture', '--hold', hold.id, '--amount', '5', '--json');
    const voidOfCaptured = await run('void', '--hold', hold.id);
    const second = JSON.parse(
      (await run('hold', ...sue, '--amount', '1', '--transaction-id', 'second', '--json')).stdout,
    ) as { id: string };
    const voided = await run('void', '--hold', second.id, '--json');
    const voidedAgain = await run('void', '--hold', second.id, '--json');
    const third = JSON.parse(
      (await run('hold', ...sue, '--amount', '2', '--transaction-id', 'third', '--json')).stdout,
    ) as { id: string };
    await administer(
      `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'
        WHERE id = '${third.id}'`,
      own.url,
    );
    const expired = await run('void', '--hold', third.id);
    const unknown = await run('void', '--hold', 'x');
    const list = await run('holds', ...sue, '--json');
    const newest = await run('holds', ...sue, '--limit', '1');
    const ofStatus = await run('holds', ...sue, '--status', 'VOIDED', '--json');
    const noStatus = await run('holds', ...sue, '--status', 'GONE');
    const table = await run('balance', ...sue);
    const proof = await run('reconcile');

    expect(hold).toEqual({
      id: expect.any(String),
      created_at: expect.any(String),
      user_id: expect.any(String),
      amount: 7,
      status: 'OPEN',
      expires_at: expect.any(String),
      settled_at: null,
      captured: null,
      transaction_id: 'job',
      transaction_type: 'TRAINING',
    });
    expect(Date.parse(hold.expires_at) - Date.parse(hold.created_at)).toBe(3_600_000);
    expect([held.stderr, again.stderr]).toEqual(['', 'Hold job already exists: nothing more is held.\n']);
    expect(again.stdout).toBe(held.stdout);
    expect([tooMuch.code, tooMuch.stderr]).toEqual([1, 'users-api: Not enough credits are available\n']);
    expect(JSON.parse(balance.stdout)).toEqual({ credits_balance: 10, credits_held: 7, credits_available: 3 });
    expect(JSON.parse(captured.stdout)).toMatchObject({ credits: -5, balance_after: 5, transaction_id: 'job' });
    expect(capturedAgain.stdout).toBe(captured.stdout);
    expect([captured.stderr, capturedAgain.stderr]).toEqual([
      '',
      `Hold ${hold.id} was already captured: nothing was moved this time.\n`,
    ]);
    expect([voidOfCaptured.code, voidOfCaptured.stderr]).toEqual([1, 'users-api: The hold is CAPTURED\n']);
    expect(JSON.parse(voided.stdout)).toMatchObject({ id: second.id, status: 'VOIDED', captured: null });
    expect(voidedAgain).toEqual(voided);
    expect(expired.code).toBe(0);
    expect(expired.stdout).toContain('EXPIRED');
    expect(expired.stderr).toBe('The hold had expired: its credits were released then.\n');
    expect([unknown.code, unknown.stderr]).toEqual([1, 'users-api: No such hold exists\n']);
    expect((JSON.parse(list.stdout) as { status: string }[]).map(({ status }) => status)).toEqual([
      'VOIDED',
      'CAPTURED',
      'EXPIRED', // made earlier, so that it has expired
    ]);
    expect([list.stderr, newest.stderr]).toEqual(['', expect.stringContaining('there are more')]);
    expect((JSON.parse(ofStatus.stdout) as { id: string }[]).map(({ id }) => id)).toEqual([second.id]);
    expect(noStatus.code).toBe(1);
    expect(table.stdout).toMatch(/BALANCE.*HELD.*AVAILABLE/);
    expect(proof).toMatchObject({ code: 0 });
    await own.drop();
  });

  it('credits add, spend and history move and show a balance; reconcile proves it, and fails with the name of a difference', async () => {
    const own = await createDatabase();
    const run = (...words: string[]) => programs.cli(['credits', ...words], { DATABASE_URL: own.url });
    await programs.cli(['users', 'create', '--email', 'sue@example.com', '--name', 'Sue'], { DATABASE_URL: own.url });
    const sue = ['--email', 'sue@example.com'];

    const added = await run(
      'add',
      ...sue,
      '--amount',
      '10',
      '--transaction-id',
      'a',
      '--type',
      'STRIPE_CHECKOUT',
      '--json',
    );
    const again = await run(
      'add',
      ...sue,
      '--amount',
      '10',
      '--transaction-id',
      'a',
      '--type',
      'STRIPE_CHECKOUT',
      '--json',
    );
    const tooMuch = await run('spend', ...sue, '--amount', '11', '--transaction-id', 'b');
    await run('spend', ...sue, '--amount', '4', '--transaction-id', 'c');
    const history = await run('history', ...sue, '--json');
    const newest = await run('history', ...sue, '--limit', '1');
    const table = await run('history', ...sue, '--end-date', '2000-01-01');
    const ofType = await run('history', ...sue, '--type', 'STRIPE_CHECKOUT', '--json');
    const ofTransaction = await run('history', ...sue, '--transaction-id', 'c', '--json');
    const ofNoKey = await run('history', ...sue, '--api-key-id', '00000000-0000-4000-8000-000000000001', '--json');
    const noType = await run('history', ...sue, '--type', 'stripe');
    const noDate = await run('history', ...sue, '--end-date', 'never');
    const proof = await run('reconcile');
    await administer(`UPDATE users SET credits_balance = 7`, own.url);
    const disproof = await run('reconcile', '--json');

    expect(JSON.parse(added.stdout)).toMatchObject({
      credits: 10,
      balance_after: 10,
      transaction_type: 'STRIPE_CHECKOUT',
    });
    expect(again.stdout).toBe(added.stdout);
    expect([added.stderr, again.stderr]).toEqual(['', 'Transaction a already exists: nothing was moved this time.\n']);
    expect([tooMuch.code, tooMuch.stderr]).toEqual([1, 'users-api: Not enough credits are available\n']);
    expect((JSON.parse(history.stdout) as { credits: number }[]).map(({ credits }) => credits)).toEqual([-4, 10]);
    expect([history.stderr, newest.stderr]).toEqual(['', expect.stringContaining('there are more')]);
    expect(table.stdout).not.toContain('STRIPE');
    const creditsOf = ({ stdout }: { stdout: string }) =>
      (JSON.parse(stdout) as { credits: number }[]).map(({ credits }) => credits);
    expect([ofType, ofTransaction, ofNoKey].map(creditsOf)).toEqual([[10], [-4], []]);
    expect([noType.code, noType.stderr]).toEqual([1, expect.stringContaining('transaction_type must be 1 to 32')]);
    expect(noDate.code).toBe(1);
    expect(proof).toEqual({
      code: 0,
      stdout: 'Every balance is the sum of its entries, and every hold agrees with them.\n',
      stderr: '',
    });
    expect(JSON.parse(disproof.stdout)).toEqual([
      { kind: 'balance', userId: expect.any(String), entryId: null, holdId: null, stored: 7, expected: 6 },
    ]);
    expect([disproof.code, disproof.stderr]).toEqual([1, 'users-api: 1 difference\n']);
    await own.drop();
  });

  it('credits add takes the largest amount that there is', async () => {
    await programs.cli(['users', 'create', '--email', 'rich@example.com', '--name', 'Rich'], env);

    const { stdout } = await programs.cli(
      [
        'credits',
        'add',
        '--email',
        'rich@example.com',
        '--amount',
        '9007199254740991',
        '--transaction-id',
        'a',
        '--json',
      ],
      env,
    );

    expect(JSON.parse(stdout)).toMatchObject({ credits: 9007199254740991, balance_after: 9007199254740991 });
  });

  it('keys list says when there are more keys than it prints', async () => {
    await programs.cli(['users', 'create', '--email', 'two@example.com', '--name', 'Two'], env);
    await programs.cli(['keys', 'create', '--email', 'two@example.com', '--name', 'second'], env);

    const { stdout, stderr } = await programs.cli(
      ['keys', 'list', '--email', 'two@example.com', '--limit', '1', '--json'],
      env,
    );

    expect(JSON.parse(stdout)).toEqual([expect.objectContaining({ name: 'second' })]);
    expect(stderr).toBe('This is the newest one, and there are more: --limit accepts up to 10000.\n');
  });

  it.each([
    [['users', 'list', '--email', 'not-an-address'], 'email must be an e-mail address'],
    [['users', 'list', '--status', 'GONE'], "'GONE' is invalid. Allowed choices are ACTIVE, INACTIVE"],
    [['users', 'create', '--email', 'not-an-address', '--name', 'X'], 'email must be an e-mail address'],
    [
      ['users', 'create', '--email', 'x@example.com', '--name', '\u202eX'],
      'name must have at least one visible character',
    ],
    [['users', 'create', '--email', 'x@example.com'], "required option '--name <name>' not specified"],
    [
      ['users', 'create', '--email', 'x@example.com', '--name', 'X', '--expires-in-days', '0'],
      'It must be an integer from 1 to 3650',
    ],
    [
      ['keys', 'create', '--email', 'nobody@example.com', '--name', 'x'],
      'User with e-mail address nobody@example.com not found',
    ],
    [['keys', 'create', '--email', 'nobody@example.com', '--name', 'x', '--frob'], "unknown option '--frob'"],
    [
      ['keys', 'revoke', '--email', 'nobody@example.com'],
      'Name the key with --email and --name, or give it on standard',
    ],
    [['keys', 'revoke', '--key', '-', '--name', 'x'], '--key - takes neither --email nor --name'],
    [['frob'], "unknown command 'frob'"],
    [['users', 'frob'], "unknown command 'frob'"],
  ])('%j fails on stderr, with a status other than 0 and nothing on stdout', async (words, message) => {
    const { code, stdout, stderr } = await programs.cli(words, env);

    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain(message);
  });

  it('refuses an address and a key name that are taken', async () => {
    await programs.cli(['users', 'create', '--email', 'taken@example.com', '--name', 'T'], env);

    const user = await programs.cli(['users', 'create', '--email', 'Taken@Example.com', '--name', 'T'], env);
    const key = await programs.cli(['keys', 'create', '--email', 'taken@example.com', '--name', 'first-key'], env);

    expect([user.code, user.stderr]).toEqual([1, 'users-api: There is already a user with this e-mail address\n']);
    expect([key.code, key.stderr]).toEqual([1, 'users-api: There is already an API key named first-key\n']);
  });

  it.each([
    [['--help']],
    [['users', '--help']],
    [['users', 'create', '--help']],
    [['users', 'list', '--help']],
    [['keys', '--help']],
    [['keys', 'create', '--help']],
  ])('%j helps, without a database', async (words) => {
    const { code, stdout } = await programs.cli(words, { DATABASE_URL: 'postgresql://127.0.0.1:1/none' });

    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: users-api ${words.slice(0, -1).join(' ')}`.trim());
  });

  it('keys generate prints a well-formed key that is stored nowhere', async () => {
    const { stdout } = await programs.cli(['keys', 'generate']);

    expect(stdout).toMatch(/^ua_[0-9A-Za-z]{49}\n$/);
  });
});

describe('users-api on the database that the app runs by itself', () => {
  it('works while the server runs and while it does not, and leaves each as it was', async () => {
    const programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    const before = await programs.cli([
      'users',
      'create',
      '--email',
      'before@example.com',
      '--name',
      'Before',
      '--json',
    ]);
    const server = await programs.startServer();

    const during = await programs.cli(['users', 'list', '--json']);
    const { api_key: key } = JSON.parse(before.stdout) as { api_key: string };
    const answer = await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key } });
    await server.end('SIGTERM');
    const after = await programs.cli(['users', 'list', '--json']);

    expect(during).toMatchObject({ code: 0, stderr: '' });
    expect(answer.status).toBe(200);
    expect(server.output()).not.toContain('administrator'); // there was a user already
    expect(JSON.parse(after.stdout)).toEqual([expect.objectContaining({ email: 'before@example.com' })]);
    await programs.dispose();
  });

  it('runs any number of commands at once, of which one starts the database and the last one ends it', async () => {
    const programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    const emails = Array.from({ length: 6 }, (_, n) => `user-${String(n)}@example.com`);

    const made = await Promise.all(
      emails.map((email) => programs.cli(['users', 'create', '--email', email, '--name', 'U', '--json'])),
    );
    const listed = await programs.cli(['users', 'list', '--json']);

    expect(made.map(({ code, stderr }) => [code, stderr])).toEqual(emails.map(() => [0, '']));
    expect((JSON.parse(listed.stdout) as { email: string }[]).map(({ email }) => email).sort()).toEqual(emails);
    await expect(readFile(join(programs.cwd, '.data/postgres-18/postmaster.pid'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await programs.dispose();
  });

  it('ends the database that a command started only after the last other command', async () => {
    const programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    for (const name of ['first', 'last'])
      await programs.cli(['users', 'create', '--email', `${name}@example.com`, '--name', name]);
    const erase = async (name: string): Promise<Program> => {
      const program = programs.startInTerminal(['users', 'erase', '--email', `${name}@example.com`], {});
      await program.says(/Type yes to continue/);
      return program;
    };
    const first = await erase('first'); // starts the database
    const last = await erase('last');
    const read = (name: string): Promise<string> => readFile(join(programs.cwd, '.data/postgres-18', name), 'utf8');
    const [, , , port] = (await read('postmaster.pid')).split('\n');
    const url = `postgresql://postgres:${await read('users-api.password')}@127.0.0.1:${String(port)}/postgres`;

    first.type('yes\r');
    const waits = async (): Promise<string> => {
      const waiting = `SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND objid = ${String(ADVISORY_LOCKS.embeddedServerUser)} AND mode = 'ExclusiveLock' AND NOT granted`;
      while ((await administer(waiting, url)).length === 0);
      return 'waits';
    };
    const outcome = await Promise.race([first.end().then(() => 'has ended'), waits().catch(() => 'has ended')]);
    last.type('yes\r');

    expect(outcome).toBe('waits');
    expect([await last.end(), await first.end()]).toMatchObject([{ code: 0 }, { code: 0 }]);
    await programs.dispose();
  });

  it('waits for a database that takes its time to stop, and starts it again', async () => {
    const programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    const server = await programs.startServer();
    await server.end('SIGKILL');
    const read = (name: string): Promise<string> => readFile(join(programs.cwd, '.data/postgres-18', name), 'utf8');
    const [pid, , , port] = (await read('postmaster.pid')).split('\n');
    const last = new Client(
      `postgresql://postgres:${await read('users-api.password')}@127.0.0.1:${String(port)}/postgres`,
    );
    await last.connect();
    process.kill(Number(pid), 'SIGTERM'); // which lets those finish who are connected

    const listing = programs.cli(['users', 'list', '--json']);
    // Until it was refused more often than it tries to start a server of its own.
    const refusals = async (): Promise<string> => {
      while ((await read('server.log')).split('is shutting down').length <= 30);
      return 'still waits';
    };
    const meanwhile = await Promise.race([listing, refusals()]);
    await last.end();

    expect(meanwhile).toBe('still waits');
    expect(await listing).toMatchObject({ code: 0, stderr: '' });
    await programs.dispose();
  });
});
