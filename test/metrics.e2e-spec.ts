import { readFile } from 'node:fs/promises';
import type { Pool } from 'pg';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { DataSource } from 'typeorm';
import { generateApiKey } from '../src/common/api-key-format.js';
import { KeyUsage } from '../src/api-keys/key-usage.service.js';
import { CreditsService } from '../src/credits/credits.service.js';
import { VerificationService } from '../src/verification/verification.service.js';
import { ExpiredHolds } from '../src/credits/holds/expired-holds.js';
import { MetricsServer } from '../src/metrics/metrics.server.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { scrape, until } from './support/metrics.js';
import { startProxy } from './support/proxy.js';
import { sendRaw } from './support/raw-http.js';

/** An application of its own for each test, since counters count for all of it. */
async function startMeasured(databaseUrl: string): Promise<{ app: TestApp; port: number }> {
  const app = await startTestApp(databaseUrl, { METRICS_PORT: '0' });
  return { app, port: await app.nest.get(MetricsServer, { strict: false }).listen(0, '127.0.0.1') };
}

describe('GET /metrics', () => {
  let database: TestDatabase;
  let app: TestApp;
  let port: number;

  beforeEach(async () => {
    database = await createDatabase();
    ({ app, port } = await startMeasured(database.url));
  });
  afterEach(async () => {
    await app.nest.close();
    await database.drop();
  });

  it('counts and times requests by method, route and status, with no URL of a caller in a label', async () => {
    const ada = await app.given.user();

    await app.as(ada).patch('/v1/users/me').send({ name: 'Ada' });
    await app.as(ada).patch('/v1/users/me').send({ name: 'Ada L.' });
    await app.as(ada).get('/v1/api-keys/no-such-key');
    await app.anyone().get('/nowhere/secret-path');

    const samples = await scrape(port);
    const count = (labels: string): number | undefined =>
      samples.get(`users_api_http_request_duration_seconds_count{${labels}}`);
    expect(count('method="PATCH",route="/v1/users/me",status="200"')).toBe(2);
    expect(count('method="GET",route="/v1/api-keys/:key_name",status="404"')).toBe(1);
    expect(count('method="GET",route="(none)",status="404"')).toBe(1);
    expect([...samples.keys()].filter((name) => /secret-path|no-such-key/.test(name))).toEqual([]);
  });

  it('counts refusals by their reason, which the caller is not told', async () => {
    const [revoked, expired, superseded, inactive] = [
      await app.given.user(),
      await app.given.user(),
      await app.given.user(),
      await app.given.user(),
    ];
    await app.given.sql('UPDATE api_keys SET revoked_at = now() WHERE user_id = $1', [revoked.id]);
    await app.given.sql('UPDATE api_keys SET expires_at = now() WHERE user_id = $1', [expired.id]);
    await app.given.sql(`UPDATE users SET status = 'INACTIVE' WHERE id = $1`, [inactive.id]);
    const rotation = { expires_at: '2999-01-01T00:00:00Z', overlap_seconds: 3600 };
    await app.as(superseded).post('/v1/api-keys/first-key/rotate').send(rotation).expect(201);
    await app.given.sql('UPDATE superseded_secrets SET expires_at = now()');
    const presented = {
      malformed: 'ua_mistyped',
      unknown: generateApiKey(),
      revoked: revoked.key,
      expired: expired.key,
      superseded: superseded.key,
      user_inactive: inactive.key,
    };

    await app.anyone().get('/v1/users/me').expect(401);
    const answers = [];
    for (const key of Object.values(presented))
      answers.push(
        await app.anyone().get('/v1/users/me').set('x-api-key', key).set('x-request-id', 'same').expect(401),
      );

    const samples = await scrape(port);
    const counted = ['missing', ...Object.keys(presented)].map((reason) => [
      reason,
      samples.get(`users_api_authentication_refusals_total{reason="${reason}"}`),
    ]);
    expect(counted).toEqual(['missing', ...Object.keys(presented)].map((reason) => [reason, 1]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  const failures = async (): Promise<Record<string, number>> => {
    const counted = [...(await scrape(port))].map(([name, value]) => {
      const [, reason = ''] = /^users_api_database_failures_total\{reason="(\w+)"\}$/.exec(name) ?? [];
      return [reason, value] as const;
    });
    return Object.fromEntries(counted.filter(([reason, value]) => reason !== '' && value > 0));
  };

  it.each([
    ['full', '53100'],
    ['out_of_connections', '53300'],
    ['read_only', '25006'],
    ['conflict', '40001'],
    ['timeout', '57014'],
    ['lock_timeout', '55P03'],
    ['system_error', '58030'],
  ])('counts requests that the database fails by the reason that it gives: %s for %s', async (reason, code) => {
    const ada = await app.given.user();
    await app.given.sql(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '${code}'; END $$`);
    await app.given.sql('CREATE TRIGGER fail BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail()');
    const before = await failures();

    for (const name of ['one', 'two', 'three'])
      await app.as(ada).patch('/v1/users/me').send({ name }).retry(0).expect(503);
    await app.as(ada).get('/v1/users/me').expect(200);

    expect([before, await failures()]).toEqual([{}, { [reason]: 3 }]);
  });

  it('counts as busy what waits too long for a connection, and nothing that the caller is to blame for', async () => {
    const ada = await app.given.user();
    const runners = Array.from({ length: 10 }, () => app.nest.get(DataSource).createQueryRunner());
    await Promise.all(runners.map((runner) => runner.connect())); // all of the pool

    await app.as(ada).get('/v1/users/me').retry(0).expect(503);
    await Promise.all(runners.map((runner) => runner.release()));
    await app.as(ada).patch('/v1/users/me').send({ name: '' }).expect(400);
    await app.anyone().get('/v1/users/me').expect(401);

    expect(await failures()).toEqual({ busy: 1 });
  });

  it('counts a readiness check on a database that takes no writes', async () => {
    const name = new URL(database.directUrl).pathname.slice(1);
    await app.given.sql(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    const { master: pool } = app.nest.get(DataSource).driver as unknown as { master: Pool };
    await app.given.sql(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1',
      [name],
    );
    while (pool.totalCount > 0) {
      const client = await pool.connect();
      client.release(true);
    }

    await app.anyone().get('/readyz').retry(0).expect(503);

    expect(await failures()).toMatchObject({ read_only: 1 });
  });

  it('shows the size of batches, and the requests in flight and queued, by statement', async () => {
    const read = (samples: ReadonlyMap<string, number>, metric: string, statement: string): number =>
      samples.get(`users_api_${metric}{statement="${statement}"}`) ?? NaN;
    const ada = await app.given.user();
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [ada.id]);
    const add = (transactionId: string) =>
      app.nest
        .get(CreditsService)
        .add({ userId: ada.id, amount: 1, transactionId })
        .catch(() => undefined);
    const first = ['a', 'b'].map(add); // in one statement, which waits for the row
    while (read(await scrape(port), 'requests_queued', 'move_credits') > 0);
    const others = ['c', 'd', 'e'].map(add); // these wait for it

    const locked = await scrape(port);
    await release();
    await Promise.all([...first, ...others]);
    await app.as(ada).patch('/v1/users/me').send({ name: 'New' });
    const after = await scrape(port);

    expect(read(locked, 'requests_in_flight', 'move_credits')).toBe(2);
    expect(read(locked, 'requests_queued', 'move_credits')).toBe(3);
    expect(read(locked, 'batch_size_count', 'move_credits')).toBe(1);
    expect(read(locked, 'batch_size_sum', 'move_credits')).toBe(2);
    expect(read(after, 'requests_in_flight', 'move_credits')).toBe(0);
    expect(read(after, 'requests_queued', 'patch_users')).toBe(0);
    expect(read(after, 'batch_size_count', 'patch_users')).toBe(1);
    expect(read(after, 'batch_size_sum', 'patch_users')).toBe(1);
  });

  it('shows a verification that waits for the one that it repeats', async () => {
    const ada = await app.given.user();
    await app.nest.get(CreditsService).add({ userId: ada.id, amount: 1, transactionId: 'credits' });
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [ada.id]);
    const charge = { amount: 1, transactionId: 'call-1', transactionType: 'CALL' };
    const verify = () => app.nest.get(VerificationService).verify({ key: ada.key, charge });

    const verifications = [verify(), verify()];
    const waiting = await scrape(port);
    await release();
    await Promise.all(verifications);

    expect(waiting.get('users_api_requests_in_flight{statement="verify_transactions"}')).toBe(1);
    expect(waiting.get('users_api_requests_queued{statement="verify_transactions"}')).toBe(1);
  });

  it('shows the pool, the event loop and the memory', async () => {
    const samples = await scrape(port);

    expect(samples.get('users_api_database_pool_connections{state="idle"}')).toBeGreaterThan(0);
    expect(samples.get('users_api_database_pool_connections{state="busy"}')).toBe(0);
    expect(samples.get('users_api_database_pool_waiting')).toBe(0);
    expect(samples.has('nodejs_eventloop_lag_p99_seconds')).toBe(true);
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  it('are the metrics of docs/operations.md, which all begin with users_api_, and those of prom-client', async () => {
    const [, page = ''] = /^### Metrics\n(.*?)^##/ms.exec(await readFile('docs/operations.md', 'utf8')) ?? [];
    const documented = [...page.matchAll(/^\| `(users_api_\w+)/gm)].map(([, name]) => name);
    const defaults = new Registry();
    collectDefaultMetrics({ register: defaults });
    const theirs = defaults.getMetricsAsArray().map(({ name }) => name);

    const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
    const ours = [...text.matchAll(/^# TYPE (\S+)/gm)]
      .map(([, name = '']) => name)
      .filter((name) => !theirs.includes(name));

    expect(ours.length).toBeGreaterThan(8);
    expect(ours.filter((name) => !name.startsWith('users_api_'))).toEqual([]);
    expect(ours.sort()).toEqual(documented.sort());
  });

  it('shows no value of ours that is not a number: what has not been looked at yet is absent', async () => {
    const first = [...(await scrape(port))].filter(([name]) => name.startsWith('users_api_'));

    expect(first.length).toBeGreaterThan(3);
    expect(first.filter(([, value]) => Number.isNaN(value))).toEqual([]);
    expect(first.filter(([name]) => /credits_drift|expiring|holds_open/.test(name))).toEqual([]);
  });

  it('shows a ledger that adds up as 0, and one that does not by its differences', async () => {
    const checkedAt = 'users_api_credits_drift_checked_timestamp_seconds';
    const ada = await app.given.user();
    await app.given.sql('UPDATE users SET credits_balance = 5 WHERE id = $1', [ada.id]);
    const start = Date.now() / 1000;

    const checked = await until(
      () => scrape(port),
      (samples) => samples.has(checkedAt),
    );

    expect(checked.get('users_api_credits_drift')).toBe(1);
    expect(checked.get(checkedAt)).toBeGreaterThanOrEqual(start);
  });

  it('shows how many holds are open, not those that have expired or ended, and counts expired ones that are released', async () => {
    const ada = await app.given.user();
    const credits = app.nest.get(CreditsService, { strict: false });
    await credits.add({ userId: ada.id, amount: 10, transactionId: 'start' });
    for (const transactionId of ['open', 'expired', 'expired-too', 'voided', 'captured'])
      await credits.hold({ userId: ada.id, amount: 1, transactionId });
    const { rows: holds } = await credits.holds(ada.id, {}, { limit: 10, offset: 0, after: null });
    const idOf = (transactionId: string): string =>
      holds.find((hold) => hold.transactionId === transactionId)?.id ?? '';
    await credits.release(idOf('voided'));
    await credits.capture(idOf('captured'), 1);
    await app.given.sql(
      `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'
        WHERE id = ANY ($1)`,
      [[idOf('expired'), idOf('expired-too')]],
    );

    const samples = await until(
      () => scrape(port),
      (found) => found.has('users_api_holds_open'),
    );
    const database = app.nest.get(DataSource);
    const rolledBack = database.transaction(async (manager) => {
      await credits.hold({ userId: ada.id, amount: 10, transactionId: 'too-much' }, { manager });
    });
    await expect(rolledBack).rejects.toThrow('credits'); // after it has released the expired ones
    const before = await scrape(port);
    await app.nest.get(ExpiredHolds, { strict: false }).sweep();

    expect(samples.get('users_api_holds_open')).toBe(1);
    expect(before.get('users_api_holds_expired_total')).toBe(0);
    expect((await scrape(port)).get('users_api_holds_expired_total')).toBe(2);
  });

  it('shows how many keys are in use and expire soon: used and expiring within 30 days, and neither expired nor revoked', async () => {
    const ada = await app.given.user(); // for a year, and never used
    const keys = [
      ['soon', '29 days', '29 days', null],
      ['at-once', '1 minute', '0', null],
      ['later', '31 days', '0', null],
      ['long-unused', '29 days', '31 days', null],
      ['never-used', '29 days', null, null],
      ['expired', '-1 minute', '0', null],
      ['revoked', '29 days', '0', '0'],
    ] as const;
    for (const [name, expires, used, revoked] of keys)
      await app.given.sql(
        `INSERT INTO api_keys (user_id, name, prefix, secret_digest, created_at, expires_at, last_used_at, revoked_at)
         VALUES ($1, $2::text, 'ua_00000', sha256($2::text::bytea), now() - interval '90 days',
                 now() + $3::interval, now() - $4::interval, now() - $5::interval)`,
        [ada.id, name, expires, used, revoked],
      );

    const samples = await until(
      () => scrape(port),
      (found) => found.has('users_api_expiring_keys'),
    );

    const [, listing = ''] = /```sql\n(SELECT email[^`]+)```/.exec(await readFile('docs/operations.md', 'utf8')) ?? [];
    expect(samples.get('users_api_expiring_keys')).toBe(2);
    expect(await app.rows(listing)).toEqual([
      expect.objectContaining({ email: ada.row.email, name: 'at-once' }),
      expect.objectContaining({ email: ada.row.email, name: 'soon' }),
    ]);
  });

  it('405 and 404 for all else, as ErrorResponse', async () => {
    const url = `http://127.0.0.1:${String(port)}`;
    const other = await fetch(`${url}/v1/users/me`);
    const posted = await fetch(`${url}/metrics`, { method: 'POST' });

    expect([other.status, await other.json()]).toEqual([404, { status: 404, message: 'No such route' }]);
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it('names every answer, and answers in JSON what never becomes a request', async () => {
    const { headers } = await fetch(`http://127.0.0.1:${String(port)}/metrics`, {
      headers: { 'x-request-id': 'mine' },
    });
    const malformed = await sendRaw(port, 'NONSENSE\r\n\r\n');

    expect(headers.get('x-request-id')).toBe('mine');
    expect(malformed.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(JSON.parse(malformed.body)).toEqual({ status: 400, message: 'Bad Request' });
  });

  it('is not on the port that callers reach', async () => {
    expect((await app.anyone().get('/metrics')).status).toBe(404);
  });
});

it('last uses that cannot be written cost a count and no request', async () => {
  const database = await createDatabase();
  const proxy = await startProxy(database.url);
  const { app, port } = await startMeasured(proxy.url);
  const ada = await app.given.user();

  const used = await app.as(ada).get('/v1/users/me');
  proxy.refuse();
  const failed = await app.as(ada).get('/v1/users/me').retry(0);
  await app.nest.get(KeyUsage).flush();
  const samples = await scrape(port);
  proxy.restore();

  expect([used.status, failed.status]).toEqual([200, 503]);
  expect(samples.get('users_api_database_failures_total{reason="unreachable"}')).toBe(1);
  expect(samples.get('users_api_api_key_uses_unwritten_total')).toBe(1);
  await app.nest.close();
  await proxy.close();
  await database.drop();
});
