import { randomBytes, randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { generateApiKey } from '../src/common/api-key-format.js';
import { RateLimitedError } from '../src/api-keys/api-keys.errors.js';
import { type LimitedKey, RateLimits } from '../src/api-keys/rate-limits.service.js';
import { MetricsServer } from '../src/metrics/metrics.server.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { scrape } from './support/metrics.js';
import { startProxy } from './support/proxy.js';

let database: TestDatabase;
const apps: TestApp[] = [];

const start = async (env: NodeJS.ProcessEnv): Promise<TestApp> => {
  const app = await startTestApp(database.url, env);
  apps.push(app);
  return app;
};

beforeAll(async () => {
  database = await createDatabase();
});
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.nest.close()));
});
afterAll(() => database.drop());

describe('A key that calls too often', () => {
  it('429 with Retry-After, and with the RateLimit fields on every answer; other keys go on', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '2' });
    const ada = await app.given.user();
    const bob = await app.given.user();

    const answers = [
      await app.as(ada).get('/v1/users/me'),
      await app.as(ada).patch('/v1/users/me').send({ name: '' }),
      await app.as(ada).patch('/v1/users/me').send({ name: 'Never' }),
    ];
    const other = await app.as(bob).get('/v1/users/me');

    expect(answers.map(({ status }) => status)).toEqual([200, 400, 429]);
    const field = (name: string): unknown[] => answers.map(({ headers }) => (headers as Record<string, string>)[name]);
    expect(field('ratelimit-policy')).toEqual(Array(3).fill('"key";q=2;w=60'));
    expect(field('ratelimit')).toEqual([
      expect.stringMatching(/^"key";r=1;t=\d+$/),
      expect.stringMatching(/^"key";r=0;t=\d+$/),
      expect.stringMatching(/^"key";r=0;t=\d+$/),
    ]);
    expect(field('retry-after')).toEqual([undefined, undefined, expect.stringMatching(/^([1-9]|[1-5]\d|60)$/)]);
    expect(answers[2]?.body).toEqual({ status: 429, message: 'The API key may make 2 requests a minute' });
    expect(other.status).toBe(200);
    expect(await app.stored(ada)).toMatchObject({ name: 'Dull Default' });
  });

  it('goes by the key and not by its secret: a rotation gives no new allowance', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '2' });
    const ada = await app.given.user();
    await app.as(ada).get('/v1/users/me');

    const rotated = await app
      .as(ada)
      .post('/v1/api-keys/first-key/rotate')
      .send({ expires_at: '2099-01-01T00:00:00.000Z' });
    const { secret } = rotated.body as { secret: string };
    const next = await app.anyone().get('/v1/users/me').set('x-api-key', secret);

    expect([rotated.status, next.status]).toEqual([201, 429]);
  });

  it('is not limited at all with 0', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '0' });
    const ada = await app.given.user();

    const { status, headers } = await app.as(ada).get('/v1/users/me');

    expect(status).toBe(200);
    expect(headers).not.toHaveProperty('ratelimit');
  });
});

describe('An address whose requests keep failing to authenticate', () => {
  it('429 with Retry-After, while a good key from there still works', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '2' });
    const ada = await app.given.user();

    const refused = [
      await app.anyone().get('/v1/users/me'),
      await app.anyone().get('/v1/users/me').set('x-api-key', generateApiKey()),
      await app.anyone().get('/v1/users/me').set('x-api-key', generateApiKey()),
    ];
    const good = await app.as(ada).get('/v1/users/me');

    expect(refused.map(({ status }) => status)).toEqual([401, 401, 429]);
    expect(refused[2]?.body).toEqual({
      status: 429,
      message: 'Too many requests of this address failed to authenticate',
    });
    expect(Number(refused[2]?.headers['retry-after'])).toBeGreaterThan(0);
    expect(good.status).toBe(200);
  });

  it('is the one that a trusted proxy names, and without one a caller cannot give itself another', async () => {
    const behindProxy = await start({ RATE_LIMIT_PER_MINUTE: '1', TRUST_PROXY: 'loopback' });
    const exposed = await start({ RATE_LIMIT_PER_MINUTE: '1' });
    const from = async (app: TestApp, address: string): Promise<number> =>
      (await app.anyone().get('/v1/users/me').set('x-forwarded-for', address)).status;

    expect([await from(behindProxy, '192.0.2.1'), await from(behindProxy, '192.0.2.2')]).toEqual([401, 401]);
    expect(await from(behindProxy, '192.0.2.1')).toBe(429);
    // Some proxies write the port, which is another for each connection.
    expect([await from(behindProxy, '192.0.2.3:40001'), await from(behindProxy, '192.0.2.3:40002')]).toEqual([
      401, 429,
    ]);
    expect(await from(behindProxy, '[2001:db8::1]:40001')).toBe(401);
    expect(await from(behindProxy, '[2001:db8::2%eth0]:40002')).toBe(429);
    expect([await from(exposed, '192.0.2.1'), await from(exposed, '192.0.2.2')]).toEqual([401, 429]);
  });

  it('is that of the connection where a trusted proxy names none, whatever it sends instead', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '1', TRUST_PROXY: '1' });
    const values = ['', 'unknown', '_hidden', '192.0.2.1:', '1.2.3', '0x7f000001', '203.0.113.999', 'x'.repeat(10_000)];

    const statuses: number[] = [];
    for (const value of values)
      statuses.push((await app.anyone().get('/v1/users/me').set('x-forwarded-for', value)).status);
    const withoutOne = await app.anyone().get('/v1/users/me');

    expect(statuses).toEqual([401, ...values.slice(1).map(() => 429)]);
    expect(withoutOne.status).toBe(429);
  });

  it('is found behind several proxies that write ports', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '1', TRUST_PROXY: 'loopback, 10.0.0.0/8' });
    const from = async (address: string): Promise<number> =>
      (await app.anyone().get('/v1/users/me').set('x-forwarded-for', `${address}, 10.0.0.5:3000, [::ffff:10.0.0.6]:1`))
        .status;

    expect([await from('192.0.2.1:1'), await from('192.0.2.2:1'), await from('192.0.2.1:2')]).toEqual([401, 401, 429]);
  });
});

/*
 * These need a Redis: the one of TEST_REDIS_URL, without which they fail, or else one that answers
 * at the usual place, without which they are skipped with a warning.
 */
const redisUrl = process.env.TEST_REDIS_URL ?? 'redis://127.0.0.1:6379';
const isRedisExpected = process.env.TEST_REDIS_URL !== undefined || (await answers(redisUrl));
const describeWithRedis = isRedisExpected ? describe : describe.skip;
if (!isRedisExpected) console.warn(`No Redis answers at ${redisUrl}: limits across instances are not tested`);

describeWithRedis('Instances with one Redis', () => {
  // A database of its own in Redis cannot be had for a test, but keys of users made here are nobody
  // else's.
  it('count together', async () => {
    const env = { RATE_LIMIT_PER_MINUTE: '2', REDIS_URL: redisUrl };
    const [one, two] = [await start(env), await start(env)];
    const ada = await one.given.user();

    const statuses = [
      (await one.as(ada).get('/v1/users/me')).status,
      (await two.as(ada).get('/v1/users/me')).status,
      (await one.as(ada).get('/v1/users/me')).status,
      (await two.as(ada).get('/v1/users/me')).status,
    ];

    expect(statuses).toEqual([200, 200, 429, 429]);
  });

  // A timer that was late because of our own load switched all limits off for a second, again and
  // again.
  it('limit all the same where they were too busy to read the answer in time', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '3', REDIS_URL: redisUrl });
    const limits = app.nest.get(RateLimits, { strict: false });
    const key = limitedKey();
    await connected(app);
    const count = async () => limits.countCall(key);
    await count();

    const calls = Promise.allSettled([1, 2, 3, 4].map(count));
    const end = performance.now() + 300;
    while (performance.now() < end); // nothing else happens in this process meanwhile

    expect((await calls).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected']);
    await expect(count()).rejects.toThrow(RateLimitedError);
  });

  it.each(['refuse', 'silence'] as const)(
    'let requests pass while it is away (%s), count that, and limit again once it is back',
    async (failure) => {
      const proxy = await startProxy(redisUrl);
      const app = await start({ RATE_LIMIT_PER_MINUTE: '1', REDIS_URL: proxy.url, METRICS_PORT: '0' });
      const port = await app.nest.get(MetricsServer, { strict: false }).listen(0, '127.0.0.1');
      const ada = await app.given.user();
      const call = async (): Promise<number> => (await app.as(ada).get('/v1/users/me')).status;
      const failures = async (): Promise<number> =>
        (await scrape(port)).get('users_api_rate_limit_failures_total') ?? NaN;
      await connected(app);
      const failuresBefore = await failures();

      const before = [await call(), await call()];
      proxy[failure]();
      const away = [await call(), await call(), await call()];
      const failuresMeanwhile = (await failures()) - failuresBefore;
      proxy.restore();
      let back = await call();
      while (back === 200) back = await call();

      expect(before).toEqual([200, 429]);
      expect(away).toEqual([200, 200, 200]);
      expect(failuresMeanwhile).toBe(3);
      expect(back).toBe(429);
      await proxy.close();
    },
  );

  it.each([
    ['deeply nested', '*1\r\n'.repeat(100_000)],
    ['of no known type', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['more than was asked for', ':1\r\n:2\r\n:3\r\n'],
  ])('let requests pass, and the process lives on, when a reply is %s', async (_, reply) => {
    const proxy = await startProxy(redisUrl);
    const app = await start({ RATE_LIMIT_PER_MINUTE: '1', REDIS_URL: proxy.url });
    const ada = await app.given.user();
    const call = async (): Promise<number> => (await app.as(ada).get('/v1/users/me')).status;
    await connected(app);
    await call();

    proxy.answer(Buffer.from(reply));
    const during = await call();
    let back = await call();
    while (back === 200) back = await call();

    expect([200, 429]).toContain(during);
    expect(back).toBe(429);
    await proxy.close();
  });
});

/** A key that nothing else counts by, with the default budget. */
const limitedKey = (budgets: Partial<LimitedKey> = {}): LimitedKey => ({
  keyId: randomUUID(),
  userId: randomUUID(),
  keyRateLimitPerMinute: null,
  userRateLimitPerMinute: null,
  ...budgets,
});

/** Until requests are counted. */
async function connected(app: TestApp): Promise<void> {
  const limits = app.nest.get(RateLimits, { strict: false });
  while ((await limits.countCall(limitedKey())).length === 0) await new Promise(setImmediate);
}

async function answers(url: string): Promise<boolean> {
  const client = new Redis(url, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectionName: randomBytes(4).toString('hex'),
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}
