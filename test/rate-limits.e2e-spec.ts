import { randomBytes, randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { generateApiKey } from '../src/common/api-key-format.js';
import { ApiKeysService } from '../src/api-keys/api-keys.service.js';
import { RateLimitedError } from '../src/api-keys/api-keys.errors.js';
import { type LimitedKey, RateLimits } from '../src/api-keys/rate-limits.service.js';
import { MetricsServer } from '../src/metrics/metrics.server.js';
import { startTestApp, type TestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';
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

describe('The budgets of a key and of its user', () => {
  it.each<[own: number | null, shared: number | null, policy: string | undefined]>([
    [null, null, '"key";q=60;w=60'],
    [0, null, undefined],
    [5, null, '"key";q=5;w=60'],
    [null, 7, '"user";q=7;w=60'],
    [0, 7, '"user";q=7;w=60'],
    [5, 7, '"key";q=5;w=60, "user";q=7;w=60'],
  ])('%j and %j: RateLimit-Policy names those that apply, on every answer', async (own, shared, policy) => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '60' });
    const ada = await app.given.user();
    await app.given.sql('UPDATE api_keys SET rate_limit_per_minute = $2 WHERE user_id = $1', [ada.id, own]);
    await app.given.sql('UPDATE users SET rate_limit_per_minute = $2 WHERE id = $1', [ada.id, shared]);

    const answers = [await app.as(ada).get('/v1/users/me'), await app.as(ada).patch('/v1/users/me').send({ name: '' })];

    expect(answers.map(({ status }) => status)).toEqual([200, 400]);
    expect(answers.map(({ headers }) => headers['ratelimit-policy'])).toEqual([policy, policy]);
  });

  it('429 for all keys of a user that is over its budget, and for the key alone that is over its own', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '0' });
    const ada = await app.given.user();
    await app.given.sql('UPDATE users SET rate_limit_per_minute = 3 WHERE id = $1', [ada.id]);
    const slow = await keyOf(app, ada, 1);
    const calls = [slow, slow, ada.key, ada.key, slow];

    const answers = [];
    for (const key of calls) answers.push(await app.anyone().set('x-api-key', key).get('/v1/users/me'));

    const byKey = 'The API key may make 1 request a minute';
    const byUser = 'The API keys of this user may make 3 requests a minute together';
    expect(answers.map(({ status, body }) => [status, (body as { message?: string }).message])).toEqual([
      [200, undefined],
      [429, byKey], // counts for the user, too
      [200, undefined],
      [429, byUser],
      [429, expect.stringMatching(/^The API key/)],
    ]);
    expect(answers.map(({ headers }) => headers.ratelimit)).toEqual([
      expect.stringMatching(/^"key";r=0;t=\d+, "user";r=2;t=\d+$/),
      expect.stringMatching(/^"key";r=0;t=\d+, "user";r=1;t=\d+$/),
      expect.stringMatching(/^"user";r=0;t=\d+$/),
      expect.stringMatching(/^"user";r=0;t=\d+$/),
      expect.stringMatching(/^"key";r=0;t=\d+, "user";r=0;t=\d+$/),
    ]);
    expect(answers[3]?.headers['retry-after']).toMatch(/^([1-9]|[1-5]\d|60)$/);
    const others = await app.given.user();
    await app.as(others).get('/v1/users/me').expect(200);
  });

  it('apply to the next request when an administrator changes them', async () => {
    const app = await start({ RATE_LIMIT_PER_MINUTE: '0' });

    await expectChangesToApply(app, app);
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

  it('apply a changed budget to the next request, whichever instance it reaches', async () => {
    const env = { RATE_LIMIT_PER_MINUTE: '0', REDIS_URL: redisUrl };
    const [one, two] = [await start(env), await start(env)];
    for (const app of [one, two]) await connected(app);

    await expectChangesToApply(one, two);
  });

  it('send nothing to Redis for a key without a budget', async () => {
    const proxy = await startProxy(redisUrl);
    const app = await start({ RATE_LIMIT_PER_MINUTE: '0', REDIS_URL: proxy.url, METRICS_PORT: '0' });
    const port = await app.nest.get(MetricsServer, { strict: false }).listen(0, '127.0.0.1');
    const ada = await app.given.user();
    await connected(app);
    const before = (await scrape(port)).get('users_api_rate_limit_failures_total');
    proxy.refuse();

    await app.as(ada).get('/v1/users/me').expect(200);
    const without = (await scrape(port)).get('users_api_rate_limit_failures_total');
    await app.given.sql('UPDATE users SET rate_limit_per_minute = 1 WHERE id = $1', [ada.id]);
    await app.given.sql('UPDATE api_keys SET rate_limit_per_minute = 1 WHERE user_id = $1', [ada.id]);
    await app.as(ada).get('/v1/users/me').expect(200);
    await app.as(ada).get('/v1/users/me').expect(200);

    expect(without).toBe(before);
    expect((await scrape(port)).get('users_api_rate_limit_failures_total')).toBe((before ?? NaN) + 2); // one for each request
    proxy.restore();
    await connected(app);
    await proxy.close();
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

/** The secret of another key of a user. */
async function keyOf(app: TestApp, { id: userId }: GivenUser, rateLimitPerMinute: number | null): Promise<string> {
  const request = { userId, name: randomUUID(), expiresAt: new Date('2099-01-01'), rateLimitPerMinute };
  return (await app.nest.get(ApiKeysService).create(request)).secret;
}

/** An administrator changes both budgets through one instance, and requests go to both. */
async function expectChangesToApply(one: TestApp, two: TestApp): Promise<void> {
  const admin = await one.given.user({ isAdmin: true });
  const ada = await one.given.user();
  const change = (path: string, rate_limit_per_minute: number | null) =>
    one.as(admin).patch(`/v1/users/${ada.id}${path}`).send({ rate_limit_per_minute }).expect(200);
  const call = async (): Promise<string> => {
    const { status, headers } = await (calls++ % 2 === 0 ? two : one).as(ada).get('/v1/users/me');
    return `${String(status)} ${(headers as Record<string, string>).ratelimit?.replace(/;t=\d+/g, '') ?? 'none'}`;
  };
  let calls = 0;

  const seen = [await call()];
  await change('/api-keys/first-key', 1);
  seen.push(await call(), await call());
  await change('/api-keys/first-key', 4);
  seen.push(await call());
  await change('', 2);
  seen.push(await call(), await call(), await call());
  await change('', 5);
  await change('/api-keys/first-key', 0);
  seen.push(await call(), await call(), await call());
  await change('', null);
  seen.push(await call());

  expect(seen).toEqual([
    '200 none',
    '200 "key";r=0',
    '429 "key";r=0',
    '200 "key";r=1',
    '200 "key";r=0, "user";r=1',
    '429 "key";r=0, "user";r=0', // the fifth of the key, and the second of the user
    '429 "key";r=0, "user";r=0',
    '200 "user";r=1',
    '200 "user";r=0',
    '429 "user";r=0',
    '200 none',
  ]);
}

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
  while ((await limits.countCall(limitedKey({ keyRateLimitPerMinute: 9 }))).length === 0)
    await new Promise(setImmediate);
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
