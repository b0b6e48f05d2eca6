import { generateApiKey } from '../src/common/api-key-format.js';
import { KeyUsage } from '../src/api-keys/key-usage.js';
import { MetricsServer } from '../src/metrics/metrics.server.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { scrape } from './support/metrics.js';
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
    const count = (labels: string): number | undefined => samples.get(`http_request_duration_seconds_count{${labels}}`);
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
      samples.get(`authentication_refusals_total{reason="${reason}"}`),
    ]);
    expect(counted).toEqual(['missing', ...Object.keys(presented)].map((reason) => [reason, 1]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  it('shows the pool, the event loop and the memory', async () => {
    const samples = await scrape(port);

    expect(samples.get('database_pool_connections{state="idle"}')).toBeGreaterThan(0);
    expect(samples.get('database_pool_connections{state="busy"}')).toBe(0);
    expect(samples.get('database_pool_waiting')).toBe(0);
    expect(samples.has('nodejs_eventloop_lag_p99_seconds')).toBe(true);
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  it('shows a ledger that adds up as 0, and one that does not by its differences, but nothing before it has looked', async () => {
    const ada = await app.given.user();
    await app.given.sql('UPDATE users SET credits_balance = 5 WHERE id = $1', [ada.id]);

    const first = await scrape(port);
    const checked = await until(
      () => scrape(port),
      (samples) => samples.get('credits_drift_checked_timestamp_seconds') !== 0,
    );

    expect(first.get('credits_drift')).toBeNaN();
    expect(checked.get('credits_drift')).toBe(1);
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
  await app.nest.get(KeyUsage).flush();
  const samples = await scrape(port);
  proxy.restore();

  expect(used.status).toBe(200);
  expect(samples.get('api_key_uses_unwritten_total')).toBe(1);
  await app.nest.close();
  await proxy.close();
  await database.drop();
});

/** Asks again until the answer will do. */
async function until<T>(ask: () => Promise<T>, will: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (will(answer)) return answer;
  }
}
