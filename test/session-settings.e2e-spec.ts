import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { generateApiKey } from '../src/common/api-key-format.js';
import { runMigrations } from '../src/database/run-migrations.js';
import { MIGRATIONS, UsersApiModule } from '../src/index.js';
import { startTestApp, type TestApp } from './support/app.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { Programs } from './support/server-process.js';

const FUTURE = '2099-01-01T00:00:00.000Z';
const INSTANT = /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/**
 * Settings that change how values are written and read, and that any pooler carries or none of our
 * SQL relies on.
 */
const FORMATS = {
  datestyle: `'German'`,
  intervalstyle: `'sql_standard'`,
  bytea_output: `'escape'`,
  timezone: `'Asia/Kathmandu'`,
  extra_float_digits: '-15',
  transform_null_equals: 'on',
  quote_all_identifiers: 'on',
};

/** Settings that our SQL relies on, and that PgBouncer carries from no client to its sessions. */
const SEMANTICS = {
  default_transaction_isolation: `'serializable'`,
  array_nulls: 'off',
  standard_conforming_strings: 'off',
};

type Settings = Readonly<Record<string, string>>;

async function alter(database: TestDatabase, settings: Settings): Promise<void> {
  const name = new URL(database.directUrl).pathname.slice(1);
  for (const [setting, value] of Object.entries(settings))
    await administer(`ALTER DATABASE ${name} SET ${setting} = ${value}`);
}

/** Calls every route and compares whole responses. */
async function expectEveryRouteToWork(url: string, admin: string): Promise<void> {
  const call = async (method: string, path: string, body?: object, key = admin): Promise<unknown> => {
    const response = await fetch(`${url}/${path}`, {
      method,
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    expect({ method, path, status: response.status, ok: response.ok, text }).toMatchObject({ ok: true });
    return text === '' ? null : JSON.parse(text);
  };
  const instant = expect.stringMatching(INSTANT) as string;
  const id = expect.any(String) as string;
  const user = { id, created_at: instant, updated_at: instant, status: 'ACTIVE', credits_balance: 0 };
  const key = {
    id,
    created_at: instant,
    last_used_at: null,
    expires_at: FUTURE,
    status: 'ACTIVE',
    scopes: null,
    rate_limit_per_minute: null,
  };
  const prefix = expect.stringMatching(/^ua_/) as string;
  const secret = expect.stringMatching(/^ua_/) as string;
  const page = { total_pages: 1, current_page: 1, items_per_page: 20 };

  await call('GET', 'readyz');
  const me = await call('GET', 'v1/users/me');
  expect(me).toEqual({ ...user, name: 'Administrator', email: 'admin@example.com' });
  const renamed = await call('PATCH', 'v1/users/me', { name: 'Ada "\\" Lovelace' });
  expect(renamed).toEqual({ ...user, name: 'Ada "\\" Lovelace', email: 'admin@example.com' });

  const bob = (await call('POST', 'v1/users', { name: 'Bob', email: 'bob@example.com' })) as { id: string };
  const forAdministrators = { is_admin: false, rate_limit_per_minute: null };
  expect(bob).toEqual({ ...user, ...forAdministrators, name: 'Bob', email: 'bob@example.com' });
  // With the array_nulls of old, a NULL in an array is the text "NULL", and a change of the status
  // a change of the name.
  const activated = await call('PATCH', `v1/users/${bob.id}`, { status: 'ACTIVE' });
  expect(activated).toEqual(bob);
  expect(await call('GET', `v1/users/${bob.id}`)).toEqual(bob);
  expect(await call('GET', 'v1/users')).toEqual({
    data: [bob, { ...forAdministrators, ...(renamed as object), is_admin: true }],
    pagination: page,
  });

  const entry = { id, created_at: instant, transaction_type: 'MANUAL_ADJUSTMENT', api_key_id: null };
  const movement = { user_id: bob.id, amount: 3 };
  const added = await call('POST', 'v1/billing/credits-add', { ...movement, transaction_id: 'a\\b' });
  expect(added).toEqual({ ...entry, credits: 3, transaction_id: 'a\\b', balance_after: 3 });
  const spent = await call('POST', 'v1/billing/credits-deduct', { ...movement, transaction_id: 'two' });
  expect(spent).toEqual({ ...entry, credits: -3, transaction_id: 'two', balance_after: 0 });
  const today = new Date().toISOString().slice(0, 10);
  const history = `v1/billing/credit-history?user_id=${bob.id}&start_date=${today}&end_date=${today}`;
  expect(await call('GET', history)).toEqual({ data: [spent, added], pagination: page });

  const laptop = { name: 'laptop', expires_at: FUTURE };
  const ofBob = (await call('POST', `v1/users/${bob.id}/api-keys`, laptop)) as { secret: string };
  expect(ofBob).toEqual({ ...key, name: 'laptop', prefix, secret });
  expect(await call('GET', 'v1/users/me', undefined, ofBob.secret)).toMatchObject({ id: bob.id });
  expect(await call('POST', 'v1/api-keys', laptop)).toEqual({ ...key, name: 'laptop', prefix, secret });
  const moved = await call('PATCH', 'v1/api-keys/laptop', { name: 'desktop' });
  expect(moved).toEqual({ ...key, name: 'desktop', prefix });
  expect(await call('GET', 'v1/api-keys/desktop')).toEqual(moved);
  const overlap = { expires_at: FUTURE, overlap_seconds: 60 };
  const rotated = (await call('POST', 'v1/api-keys/desktop/rotate', overlap)) as { secret: string };
  expect(rotated).toEqual({ ...key, name: 'desktop', prefix, secret });
  expect(await call('GET', 'v1/api-keys/current', undefined, rotated.secret)).toMatchObject({ name: 'desktop' });
  await call('DELETE', 'v1/api-keys/current', undefined, rotated.secret);
  expect(await call('DELETE', 'v1/api-keys/desktop')).toMatchObject({ status: 'REVOKED' });
  expect(await call('GET', 'v1/api-keys')).toMatchObject({ data: [{ name: 'desktop' }, { name: 'first-key' }] });

  expect(await call('DELETE', `v1/users/${bob.id}`)).toBeNull();
  const { data: events } = (await call('GET', 'v1/audit-events')) as { data: Record<string, unknown>[] };
  expect(events.map(({ action, changes }) => ({ action, changes }))).toEqual([
    { action: 'user.updated', changes: { status: { before: 'ACTIVE', after: 'INACTIVE' } } },
    { action: 'api_key.revoked', changes: { revoked_at: { after: instant } } },
    expect.objectContaining({ action: 'api_key.rotated' }),
    { action: 'api_key.updated', changes: { name: { before: 'laptop', after: 'desktop' } } },
    expect.objectContaining({ action: 'api_key.created' }),
    expect.objectContaining({ action: 'api_key.created' }),
    expect.objectContaining({ action: 'user.created' }),
    expect.objectContaining({ action: 'user.updated' }),
    expect.objectContaining({ action: 'api_key.created' }),
    expect.objectContaining({ action: 'user.created' }),
  ]);
  for (const event of events) expect(event.created_at).toEqual(instant);
}

describe('A database with settings of its own', () => {
  let database: TestDatabase;
  let programs: Programs;
  let app: TestApp | undefined;
  beforeEach(async () => {
    [database, programs] = await Promise.all([createDatabase('empty'), Programs.inEmptyDirectory()]);
  });
  afterEach(async () => {
    await app?.close();
    app = undefined;
    await programs.dispose();
    await database.drop();
  });

  const expectAllToWork = async (given: NodeJS.ProcessEnv): Promise<void> => {
    const admin = generateApiKey();
    const env = { ...given, BOOTSTRAP_ADMIN_KEY: admin };
    const server = await programs.startServer(env);

    await expectEveryRouteToWork(server.url, admin);
    const stopped = await server.end('SIGTERM');
    const listed = await programs.cli(['keys', 'list', '--email', 'admin@example.com', '--json'], env);
    const reconciled = await programs.cli(['credits', 'reconcile'], env);

    expect(stopped).toMatchObject({ code: 0 });
    expect(stopped.stdout + stopped.stderr).not.toMatch(/Error/);
    expect(listed).toMatchObject({ code: 0 });
    expect(JSON.parse(listed.stdout)).toMatchObject([
      { name: 'desktop' },
      { name: 'first-key', expires_at: expect.stringMatching(INSTANT) },
    ]);
    expect(reconciled).toMatchObject({ code: 0 });
  };

  it('serves every route and command in spite of other formats of values, also through a pooler', async () => {
    await alter(database, FORMATS);

    await expectAllToWork({ DATABASE_URL: database.url });
  });

  it('serves every route and command in spite of other rules for transactions, nulls and strings', async () => {
    await alter(database, { ...FORMATS, ...SEMANTICS });

    await expectAllToWork({ DATABASE_URL: database.directUrl, DATABASE_TRANSACTION_POOLER: 'false' });
  });

  const refusal = (role: string): RegExp => {
    const name = new URL(database.directUrl).pathname.slice(1);
    const remedy = (setting: string): string => `ALTER ROLE ${role} IN DATABASE ${name} SET ${setting}`;
    return new RegExp(
      `^The database connection has DateStyle = 'German, DMY' and default_transaction_isolation = 'serializable', .*: ` +
        `run ${remedy("DateStyle = 'ISO, MDY'")}; ${remedy("default_transaction_isolation = 'read committed'")}, `,
    );
  };

  it.each(Object.keys(SEMANTICS))(
    'does not start behind a pooler with another %s, and says how to set it',
    async (name) => {
      await alter(database, Object.fromEntries(Object.entries(SEMANTICS).filter(([setting]) => setting === name)));
      const env = { DATABASE_URL: database.url, DATABASE_TRANSACTION_POOLER: 'true' };

      const refused = await programs.failToStart(env);
      const command = await programs.cli(['users', 'list'], env);
      const [, remedy = ''] = /: run (ALTER ROLE [^;]+), and/.exec(refused.stderr) ?? [];
      await administer(remedy, database.directUrl);
      const server = await programs.startServer({ ...env, DATABASE_URL: database.directUrl });

      expect(refused).toMatchObject({ code: 1, stdout: '' });
      expect(refused.stderr).toMatch(new RegExp(`^The database connection has ${name} = '`));
      expect(refused.stderr.trim().split('\n')).toHaveLength(1);
      expect(command).toMatchObject({ code: 1, stdout: '', stderr: `users-api: ${refused.stderr}` });
      await server.end('SIGTERM');
      await administer(`${remedy.split(' SET ')[0] ?? ''} RESET ALL`, database.directUrl);
    },
  );

  it('does not let a host application start on a connection with other settings, and says how to set them', async () => {
    await administer('CREATE TABLE theirs ()', database.directUrl);
    await alter(database, { datestyle: `'German'`, default_transaction_isolation: `'serializable'` });
    @Module({
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url: database.directUrl }), UsersApiModule.forRoot({})],
    })
    class Host {}

    const starting = NestFactory.create(Host, { logger: false, abortOnError: false });

    await expect(starting).rejects.toThrow(refusal(new URL(database.directUrl).username));
  });

  it('is migrated once by 10 instances that start at the same time, whatever its isolation level', async () => {
    await alter(database, SEMANTICS);

    const ran = await Promise.all(
      Array.from({ length: 10 }, () => runMigrations(database.directUrl, { transactionPooler: false })),
    );

    expect(ran.flat().sort()).toEqual(MIGRATIONS.map(({ name }) => name).sort());
  });

  it('409 beyond 100 active keys, also when many are made at once, whatever its isolation level', async () => {
    await alter(database, SEMANTICS);
    await runMigrations(database.directUrl, { transactionPooler: false });
    const started = await startTestApp(database.directUrl, {
      DATABASE_TRANSACTION_POOLER: 'false',
      RATE_LIMIT_PER_MINUTE: '0',
    });
    app = started;
    const ada = await started.given.user();
    const make = async (name: string) => started.as(ada).post('/v1/api-keys').send({ name, expires_at: FUTURE });
    for (let count = 1; count < 98; count += 1) await make(`key-${String(count)}`);

    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => make(`more-${String(n)}`)));

    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, ...Array<number>(8).fill(409)]);
  });
});
