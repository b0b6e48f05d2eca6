import { DataSource } from 'typeorm';
import { KeyUsage } from '../src/api-keys/key-usage.service.js';
import { succeeded } from './support/agent.js';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';
import { saying } from './support/message.js';

const KEYS = '/v1/api-keys';
const FUTURE = '2100-01-01T00:00:00.000Z';
const NOT_FOUND = { status: 404, message: 'There is no such API key' };

interface WireKey {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  readonly secret: string;
  readonly status: string;
  readonly last_used_at: string | null;
}

/**
 * Another instance on the same database: one alone runs the changes of the keys of one user one
 * after another.
 */
const second = (app: TestApp): Promise<TestApp> =>
  startTestApp((app.nest.get(DataSource).options as { url: string }).url);

describe('POST /v1/api-keys', () => {
  const app = useTestApp();
  const create = (user: GivenUser, body: object, instance = app) => instance.as(user).post(KEYS).send(body);

  it('201 makes a key that works, shows its secret this once, and says where the key is', async () => {
    const ada = await app.given.user();

    const response = await create(ada, { name: 'laptop', expires_at: '2100-01-01T02:00:00+02:00' });

    const key = response.body as WireKey;
    expect(response.status).toBe(201);
    expect(key).toEqual({
      id: expect.any(String),
      scopes: null,
      rate_limit_per_minute: null,
      created_at: expect.any(String),
      last_used_at: null,
      expires_at: FUTURE,
      status: 'ACTIVE',
      name: 'laptop',
      prefix: key.secret.slice(0, 8),
      secret: expect.stringMatching(/^ua_[0-9A-Za-z]{49}$/),
    });
    expect(response.headers).toMatchObject({ location: '/v1/api-keys/laptop', 'cache-control': 'no-store' });
    expect((await app.anyone().get('/v1/users/me').set('x-api-key', key.secret)).body).toMatchObject({ id: ada.id });
    const { secret, ...shown } = key;
    expect((await app.as(ada).get('/v1/api-keys/laptop')).body).toEqual({ ...shown, last_used_at: null });
    expect((await app.as(ada).get(KEYS)).text).not.toContain(secret);
  });

  it.each([
    [{ expires_at: FUTURE }, 'name must be a string'],
    [{ name: null, expires_at: FUTURE }, 'name must be a string'],
    [{ name: 'Laptop', expires_at: FUTURE }, /^name must be 1 to 255 lower-case letters/],
    [{ name: '', expires_at: FUTURE }, /^name must be 1 to 255/],
    [{ name: 'current', expires_at: FUTURE }, /not "current"$/],
    [{ name: 'a\n', expires_at: FUTURE }, /^name must be/],
    [{ name: 'a'.repeat(256), expires_at: FUTURE }, /^name must be/],
    [{ name: 'a' }, /^expires_at must be an instant in RFC 3339/],
    [{ name: 'a', expires_at: null }, /^expires_at must be an instant/],
    [{ name: 'a', expires_at: 4102444800000 }, /^expires_at must be an instant/],
    [{ name: 'a', expires_at: '2100-01-01' }, /^expires_at must be an instant/],
    [{ name: 'a', expires_at: '2100-02-30T00:00:00Z' }, /^expires_at must be an instant/],
    [{ name: 'a', expires_at: '2100-01-01T00:00:00' }, /^expires_at must be an instant/],
    [{ name: 'a', expires_at: 'tomorrow' }, /^expires_at must be an instant/],
    [{ name: 'a', expires_at: '9999-12-31T23:59:59-12:00' }, /^expires_at must be an instant/],
    [{ name: 'a', expires_at: '0000-01-01T00:00:00Z' }, /^expires_at must be/],
    [{ name: 'a', expires_at: '2020-01-01T00:00:00Z' }, 'expires_at must be in the future'],
    [{ name: 'a', expires_at: FUTURE, user_id: 'x' }, 'The property "user_id" is not known here'],
  ])('400 refuses %j', async (body, message) => {
    const ada = await app.given.user();

    const response = await create(ada, body);

    expect(response.body).toEqual({
      status: 400,
      message: saying(message),
    });
    expect(await app.rows('SELECT 1 FROM api_keys WHERE user_id = $1', [ada.id])).toHaveLength(1);
  });

  it('409 for a name that is taken, whatever became of its key, and 201 for the same name of another user', async () => {
    const ada = await app.given.user();
    const bob = await app.given.user();
    await create(ada, { name: 'laptop', expires_at: FUTURE });
    await app.as(ada).delete('/v1/api-keys/laptop');

    expect((await create(ada, { name: 'laptop', expires_at: FUTURE })).body).toEqual({
      status: 409,
      message: 'There is already an API key named laptop',
    });
    expect((await create(bob, { name: 'laptop', expires_at: FUTURE })).status).toBe(201);
  });

  it('201 for exactly one of 20 concurrent creations of one name, and 409 for the others', async () => {
    const ada = await app.given.user();

    const responses = await Promise.all(
      Array.from({ length: 20 }, () => create(ada, { name: 'laptop', expires_at: FUTURE })),
    );

    expect(responses.filter(succeeded)).toHaveLength(1);
    expect(responses.filter(({ status }) => status === 409)).toHaveLength(19);
  });

  it('409 beyond 100 active keys, also when many are made at once; revoked and expired ones do not count', async () => {
    const ada = await app.given.user(); // who has one key already
    for (const name of ['revoked', 'expired']) await create(ada, { name, expires_at: FUTURE });
    await app.as(ada).delete('/v1/api-keys/revoked');
    await app.given.sql(`UPDATE api_keys SET expires_at = now() WHERE user_id = $1 AND name = 'expired'`, [ada.id]);
    await app.given.sql(
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT $1::uuid, 'bulk-' || n, '2100-01-01', 'ua_00000', sha256(($1::uuid::text || n)::bytea) FROM generate_series(1, 90) AS n`,
      [ada.id],
    );

    const other = await second(app);

    const responses = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        create(ada, { name: `k-${String(n)}`, expires_at: FUTURE }, n % 2 === 0 ? app : other),
      ),
    );
    await other.close();

    expect(responses.filter(succeeded)).toHaveLength(9);
    expect(responses.filter(({ status }) => status === 409)).toHaveLength(11);
    expect(responses.find(({ status }) => status === 409)?.body).toEqual({
      status: 409,
      message: 'The user has 100 active API keys, which is the limit',
    });
  });
});

describe('GET, PATCH and DELETE /v1/api-keys/{key_name}', () => {
  const app = useTestApp();
  const given = async (name = 'laptop'): Promise<{ owner: GivenUser; key: WireKey; path: string }> => {
    const owner = await app.given.user();
    const { body } = await app.as(owner).post(KEYS).send({ name, expires_at: FUTURE });
    return { owner, key: body as WireKey, path: `${KEYS}/${name}` };
  };
  const call = (secret: string) => app.anyone().get('/v1/users/me').set('x-api-key', secret);

  it("404 for someone else's key, byte for byte like one that does not exist", async () => {
    const { path } = await given();
    const bob = await app.given.user();
    const calls = [
      (at: string) => app.as(bob).get(at),
      (at: string) => app.as(bob).patch(at).send({ name: 'mine' }),
      (at: string) => app.as(bob).delete(at),
      (at: string) => app.as(bob).post(`${at}/rotate`).send({ expires_at: FUTURE }),
    ];

    for (const each of calls) {
      const [others, missing] = [await each(path), await each(`${KEYS}/nothing`)];
      expect(others.status).toBe(404);
      expect(others.text).toBe(missing.text);
      expect(others.body).toEqual(NOT_FOUND);
      const { date, 'x-request-id': id, ratelimit, ...headers } = others.headers;
      expect(missing.headers).toMatchObject(headers);
      expect([date, id, ratelimit]).not.toContain(undefined);
    }
  });

  it.each(['Laptop', 'a_b', 'a%00b', '%F0%9F%98%80', 'a'.repeat(256)])(
    '404 for a name that no key can have: %s',
    async (name) => {
      const { owner } = await given();

      expect((await app.as(owner).get(`${KEYS}/${name}`)).status).toBe(404);
    },
  );

  it('200 renames a key and moves its expiry; an absent field keeps its value', async () => {
    const { owner, path, key } = await given();

    const renamed = await app.as(owner).patch(path).send({ name: 'desktop' });
    const moved = await app.as(owner).patch(`${KEYS}/desktop`).send({ expires_at: '2099-01-01T00:00:00Z' });
    const same = await app.as(owner).patch(`${KEYS}/desktop`).send({});

    expect(renamed.body).toMatchObject({ id: key.id, name: 'desktop', expires_at: FUTURE });
    expect(moved.body).toMatchObject({ id: key.id, name: 'desktop', expires_at: '2099-01-01T00:00:00.000Z' });
    expect(same.body).toEqual(moved.body);
    expect((await app.as(owner).get(path)).body).toEqual(NOT_FOUND);
    expect((await call(key.secret)).status).toBe(200);
  });

  it('400 and 409 leave a key as it was', async () => {
    const { owner, path } = await given();
    const before = (await app.as(owner).get(path)).body as WireKey;
    const patch = (body: object) => app.as(owner).patch(path).send(body);

    expect((await patch({ name: 'first-key' })).body).toEqual({
      status: 409,
      message: 'There is already an API key named first-key',
    });
    expect((await patch({ expires_at: '2020-01-01T00:00:00Z' })).body).toEqual({
      status: 400,
      message: 'expires_at must be in the future',
    });
    expect((await patch({ status: 'REVOKED' })).status).toBe(400);
    expect((await patch({ name: null })).status).toBe(400);
    expect((await app.as(owner).get(path)).body).toEqual(before);
  });

  it('200 revokes a key for good: its next call is refused, and repeating answers the same', async () => {
    const { owner, path, key } = await given();

    const first = await app.as(owner).delete(path);
    const refused = await call(key.secret);
    const second = await app.as(owner).delete(path);

    expect(first.body).toMatchObject({ name: 'laptop', status: 'REVOKED' });
    expect(first.body).not.toHaveProperty('secret');
    expect(refused.status).toBe(401);
    expect(second.status).toBe(200);
    expect(second.body).toEqual(first.body);
  });

  it('200 keeps the instant of the first revocation when it is repeated', async () => {
    const { owner, path } = await given();
    const first = '2026-01-01T00:00:00.000Z';
    await app.as(owner).delete(path);
    await app.given.sql(`UPDATE api_keys SET revoked_at = $1 WHERE user_id = $2 AND name = 'laptop'`, [
      first,
      owner.id,
    ]);

    const { status } = await app.as(owner).delete(path);

    const sql = `SELECT revoked_at FROM api_keys WHERE user_id = $1 AND name = 'laptop'`;
    expect(status).toBe(200);
    expect(await app.rows(sql, [owner.id])).toEqual([{ revoked_at: new Date(first) }]);
  });

  it('409 rather than bring a revoked or an expired key back to life', async () => {
    const { owner, path } = await given();
    await app.as(owner).delete(path);
    await app.as(owner).post(KEYS).send({ name: 'old', expires_at: FUTURE });
    await app.given.sql(`UPDATE api_keys SET expires_at = now() WHERE user_id = $1 AND name = 'old'`, [owner.id]);

    for (const [at, status] of [
      [path, 'REVOKED'],
      [`${KEYS}/old`, 'EXPIRED'],
    ] as const) {
      const moved = await app.as(owner).patch(at).send({ expires_at: FUTURE });
      const rotated = await app.as(owner).post(`${at}/rotate`).send({ expires_at: FUTURE });
      for (const { body } of [moved, rotated])
        expect(body).toEqual({ status: 409, message: `The API key is ${status}, which is final` });
      expect((await app.as(owner).get(at)).body).toMatchObject({ status });
    }
  });

  it('200 describes and revokes the key that the call is made with, so that whoever finds one can end it', async () => {
    const { key } = await given();
    const found = (method: 'get' | 'delete') => app.anyone()[method](`${KEYS}/current`).set('x-api-key', key.secret);

    expect((await found('get')).body).toMatchObject({ name: 'laptop', status: 'ACTIVE', prefix: key.prefix });
    expect((await found('delete')).body).toMatchObject({ name: 'laptop', status: 'REVOKED' });
    expect((await found('get')).status).toBe(401);
  });

  // A thief who holds another key must not be able to save a leaked one by renaming it at the right
  // moment.
  it('200 revokes the very key of the call, though it is renamed and its name given away at the same time', async () => {
    const other = await second(app);
    for (let turn = 0; turn < 20; turn += 1) {
      const { owner, key, path } = await given();

      const [revoked] = await Promise.all([
        other.anyone().delete(`${KEYS}/current`).set('x-api-key', key.secret),
        app.as(owner).patch(path).send({ name: 'renamed' }),
        app.as(owner).post(KEYS).send({ name: 'laptop', expires_at: FUTURE }),
      ]);

      expect(revoked.body).toMatchObject({ id: key.id, status: 'REVOKED' });
      expect((await call(key.secret)).status).toBe(401);
    }
    await other.close();
  });

  it('404 or 409 for the losers of a race, never a 400 about what they did not send', async () => {
    for (let turn = 0; turn < 10; turn += 1) {
      const { owner, path } = await given();

      const renamed = await Promise.all(
        Array.from({ length: 5 }, (_, n) =>
          app
            .as(owner)
            .patch(path)
            .send({ name: `name-${String(n)}` }),
        ),
      );
      const other = await given();
      const [, ...raced] = await Promise.all([
        app.as(other.owner).delete(other.path),
        ...Array.from({ length: 3 }, () =>
          app.as(other.owner).post(`${other.path}/rotate`).send({ expires_at: FUTURE }),
        ),
        ...Array.from({ length: 3 }, () => app.as(other.owner).patch(other.path).send({ expires_at: FUTURE })),
      ]);

      expect(renamed.filter(succeeded)).toHaveLength(1);
      expect(renamed.filter(({ status }) => status === 404)).toHaveLength(4);
      for (const { status } of raced) expect([200, 201, 409]).toContain(status);
    }
  });

  // A creation counts the active keys of its user, and must not count one whose expiry changes.
  it('503 for a change of a key while a creation for the same user is not committed', async () => {
    const { owner, path } = await given();
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE', [owner.id]);

    const during = await app.as(owner).patch(path).send({ expires_at: FUTURE }).retry(0);
    await release();
    const after = await app.as(owner).patch(path).send({ expires_at: FUTURE });

    expect([during.status, after.status]).toEqual([503, 200]);
  });

  it('405 for other methods on current, which is no name', async () => {
    const { owner } = await given();

    const response = await app.as(owner).patch(`${KEYS}/current`).send({ name: 'x' });

    expect(response.status).toBe(405);
    expect(response.headers.allow).toBe('GET, DELETE, HEAD');
  });

  it('401 on a second instance too, from the next request on', async () => {
    const { owner, path, key } = await given();
    const other = await second(app);
    const callSecond = () => other.anyone().get('/v1/users/me').set('x-api-key', key.secret);

    expect((await callSecond()).status).toBe(200);
    await app.as(owner).delete(path);

    expect((await callSecond()).status).toBe(401);
    await other.close();
  });
});

describe('POST /v1/api-keys/{key_name}/rotate', () => {
  const app = useTestApp();
  const call = (secret: string) => app.anyone().get('/v1/users/me').set('x-api-key', secret);
  const rotate = (user: GivenUser, body: object, instance = app) =>
    instance.as(user).post(`${KEYS}/laptop/rotate`).send(body);
  const given = async (): Promise<{ owner: GivenUser; old: string }> => {
    const owner = await app.given.user();
    const { body } = await app.as(owner).post(KEYS).send({ name: 'laptop', expires_at: FUTURE });
    return { owner, old: (body as WireKey).secret };
  };

  it('201 gives the key a new secret, and by default the old one dies at once', async () => {
    const { owner, old } = await given();

    const response = await rotate(owner, { expires_at: '2099-01-01T00:00:00Z' });

    const { secret, prefix } = response.body as WireKey;
    expect(response.status).toBe(201);
    expect(response.headers['cache-control']).toBe('no-store');
    expect(response.body).toMatchObject({ name: 'laptop', status: 'ACTIVE', expires_at: '2099-01-01T00:00:00.000Z' });
    expect(secret.startsWith(prefix)).toBe(true);
    expect(secret).not.toBe(old);
    expect((await call(old)).status).toBe(401);
    expect((await call(secret)).status).toBe(200);
  });

  it('keeps the old secret for the overlap, tells its callers so, and refuses it to the instant afterwards', async () => {
    const { owner, old } = await given();
    const { secret } = (await rotate(owner, { expires_at: FUTURE, overlap_seconds: 3600 })).body as WireKey;

    const during = await call(old);
    const fresh = await call(secret);
    await app.given.sql(
      'UPDATE superseded_secrets SET expires_at = statement_timestamp() WHERE api_key_id = (SELECT id FROM api_keys WHERE user_id = $1 AND name = $2)',
      [owner.id, 'laptop'],
    );
    const after = await call(old);

    expect(during.status).toBe(200);
    expect(during.headers.deprecation).toMatch(/^@\d{10}$/);
    const lifetime =
      (Date.parse(during.headers.sunset ?? '') - Number(during.headers.deprecation?.slice(1)) * 1000) / 1000;
    expect(lifetime).toBeGreaterThanOrEqual(3599);
    expect(lifetime).toBeLessThanOrEqual(3601);
    expect(fresh.headers).not.toHaveProperty('deprecation');
    expect(after.status).toBe(401);
  });

  it('keeps earlier secrets as well when the key is rotated again', async () => {
    const { owner, old } = await given();
    const second = (await rotate(owner, { expires_at: FUTURE, overlap_seconds: 3600 })).body as WireKey;
    await rotate(owner, { expires_at: FUTURE, overlap_seconds: 60 });

    expect((await call(old)).status).toBe(200);
    expect((await call(second.secret)).status).toBe(200);
  });

  it('lets secrets of earlier rotations live no longer than the one that a rotation replaces', async () => {
    const { owner, old } = await given();
    const second = (await rotate(owner, { expires_at: FUTURE, overlap_seconds: 3600 })).body as WireKey;
    const third = (await rotate(owner, { expires_at: FUTURE, overlap_seconds: 60 })).body as WireKey;

    const { headers } = await call(old);
    expect(Date.parse(headers.sunset ?? '') - Date.now()).toBeLessThan(61_000);
    await rotate(owner, { expires_at: FUTURE });

    const statuses = await Promise.all([old, second.secret, third.secret].map(async (key) => (await call(key)).status));
    expect(statuses).toEqual([401, 401, 401]);
  });

  it('ends all secrets of a key when it is revoked or expires', async () => {
    const { owner, old } = await given();
    const { secret } = (await rotate(owner, { expires_at: FUTURE, overlap_seconds: 604_800 })).body as WireKey;

    await app.as(owner).delete(`${KEYS}/laptop`);

    expect((await call(old)).status).toBe(401);
    expect((await call(secret)).status).toBe(401);
  });

  it('lets no old secret outlive the expiry that it had', async () => {
    const { owner, old } = await given();
    await app.given.sql(
      `UPDATE api_keys SET expires_at = now() + interval '10 s' WHERE user_id = $1 AND name = 'laptop'`,
      [owner.id],
    );
    await rotate(owner, { expires_at: FUTURE, overlap_seconds: 3600 });

    const { headers } = await call(old);

    expect(Date.parse(headers.sunset ?? '') - Date.now()).toBeLessThan(11_000);
  });

  it.each([
    [{}, /^expires_at must be an instant/],
    [{ expires_at: '2020-01-01T00:00:00Z' }, 'expires_at must be in the future'],
    [{ expires_at: FUTURE, overlap_seconds: -1 }, /^overlap_seconds must/],
    [{ expires_at: FUTURE, overlap_seconds: 604_801 }, /^overlap_seconds must/],
    [{ expires_at: FUTURE, overlap_seconds: 1.5 }, /^overlap_seconds must/],
    [{ expires_at: FUTURE, overlap_seconds: '60' }, /^overlap_seconds must/],
    [{ expires_at: FUTURE, overlap_seconds: null }, /^overlap_seconds must/],
  ])('400 refuses %j, and the old secret stays', async (body, message) => {
    const { owner, old } = await given();

    const response = await rotate(owner, body);

    expect(response.body).toEqual({
      status: 400,
      message: saying(message),
    });
    expect((await call(old)).status).toBe(200);
  });

  it.each(['missing', 'revoked', 'expired'])(
    '400 for an expiry that has passed comes before what is wrong with a key that is %s',
    async (state) => {
      const { owner } = await given();
      const column = { missing: `name = 'other'`, revoked: 'revoked_at = now()', expired: 'expires_at = now()' }[state];
      await app.given.sql(`UPDATE api_keys SET ${String(column)} WHERE user_id = $1 AND name = 'laptop'`, [owner.id]);
      const past = { expires_at: '2020-01-01T00:00:00Z' };

      for (const response of [await rotate(owner, past), await app.as(owner).patch(`${KEYS}/laptop`).send(past)])
        expect(response.body).toEqual({ status: 400, message: 'expires_at must be in the future' });
      expect((await rotate(owner, { expires_at: FUTURE })).status).toBe(state === 'missing' ? 404 : 409);
    },
  );

  it('promises an old secret no more time than the key has', async () => {
    const { owner, old } = await given();
    const inTenSeconds = new Date(Date.now() + 10_000).toISOString();
    await rotate(owner, { expires_at: inTenSeconds, overlap_seconds: 3600 });

    const { headers } = await call(old);

    expect(Date.parse(headers.sunset ?? '')).toBeLessThanOrEqual(Date.parse(inTenSeconds));
  });

  // A rotation that waits for another one has a snapshot from before it, without the secret that it
  // has superseded.
  it('leaves no old secret alive where a rotation without overlap comes behind one with, however close', async () => {
    const other = await second(app);
    for (let turn = 0; turn < 10; turn += 1) {
      const { owner, old } = await given();
      const [kept, ended] = await Promise.all([
        rotate(owner, { expires_at: FUTURE, overlap_seconds: 3600 }),
        rotate(owner, { expires_at: FUTURE }, other),
      ]);
      const endedLast = !('deprecation' in (await call((ended.body as WireKey).secret)).headers);

      expect((await call(old)).status).toBe(401);
      expect((await call((kept.body as WireKey).secret)).status).toBe(endedLast ? 401 : 200);
    }
    await other.close();
  });

  it('201 for each of ten rotations at once, after which only the last secret works', async () => {
    const { owner } = await given();

    const other = await second(app);

    const responses = await Promise.all(
      Array.from({ length: 10 }, (_, n) => rotate(owner, { expires_at: FUTURE }, n % 2 === 0 ? app : other)),
    );
    await other.close();
    const working = await Promise.all(responses.map(({ body }) => call((body as WireKey).secret)));

    expect(responses.map(({ status }) => status)).toEqual(Array(10).fill(201));
    expect(working.filter(({ status }) => status === 200)).toHaveLength(1);
  });
});

describe('last_used_at', () => {
  const app = useTestApp();
  const lastUse = async (user: GivenUser) => ((await app.as(user).get(`${KEYS}/current`)).body as WireKey).last_used_at;

  it('is written in bulk, off the path of requests, by the clock of the database', async () => {
    const ada = await app.given.user();
    const bob = await app.given.user();
    expect(await lastUse(ada)).toBeNull();

    const onPath = await app.statementsDuring(() => app.as(bob).get('/v1/users/me'));
    const flushing = await app.statementsDuring(() => app.nest.get(KeyUsage).flush());
    const again = await app.statementsDuring(() => app.nest.get(KeyUsage).flush());

    expect([onPath, flushing, again]).toEqual([2, 1, 0]);
    for (const user of [ada, bob])
      expect(Math.abs(Date.parse((await lastUse(user)) ?? '') - Date.now())).toBeLessThan(30_000);
  });

  it('passes over a key that somebody is changing, and costs no request anything when it cannot be written', async () => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];
    for (const user of [ada, bob]) await app.as(user).get('/v1/users/me');
    const release = await app.hold('SELECT FROM api_keys WHERE user_id = $1 FOR UPDATE', [ada.id]);

    await app.nest.get(KeyUsage).flush();
    const others = await lastUse(bob);
    await release();

    expect(others).not.toBeNull();
    expect(await lastUse(ada)).toBeNull();
    app.nest.get(KeyUsage).record('not a UUID');
    await app.nest.get(KeyUsage).flush();
    expect((await app.as(ada).get('/v1/users/me')).status).toBe(200);
  });

  it('never moves back behind a later use, which another instance has written', async () => {
    const ada = await app.given.user();
    await app.as(ada).get('/v1/users/me');
    await app.given.sql(`UPDATE api_keys SET last_used_at = '2100-01-01T00:00:00Z' WHERE user_id = $1`, [ada.id]);

    await app.nest.get(KeyUsage).flush();

    expect(await lastUse(ada)).toBe('2100-01-01T00:00:00.000Z');
  });

  it('is flushed when the application ends', async () => {
    const ada = await app.given.user();
    const second = await startTestApp((app.nest.get(DataSource).options as { url: string }).url);
    await second.as(ada).get('/v1/users/me');

    await second.nest.close();

    expect(await lastUse(ada)).not.toBeNull();
  });
});
