import { randomUUID } from 'node:crypto';
import { ApiKeysService } from '../src/index.js';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

const FUTURE = '2099-01-01T00:00:00.000Z';

describe('/v1/users/{user_id}/api-keys', () => {
  const app = useTestApp();
  let admin: GivenUser;
  let ada: GivenUser;
  beforeEach(async () => {
    admin = await app.given.user({ isAdmin: true });
    ada = await app.given.user();
    const key = { userId: ada.id, name: 'laptop', expiresAt: new Date(FUTURE) };
    await app.nest.get(ApiKeysService).create(key);
  });
  const path = (rest = ''): string => `/v1/users/${ada.id}/api-keys${rest}`;

  it('200 answers an administrator as the owner is answered: list and key', async () => {
    const [own, list] = [await app.as(ada).get('/v1/api-keys'), await app.as(admin).get(path())];
    const [ownKey, key] = [await app.as(ada).get('/v1/api-keys/laptop'), await app.as(admin).get(path('/laptop'))];

    const withoutUse = (body: unknown): unknown =>
      JSON.parse(JSON.stringify(body).replace(/"last_used_at":"[^"]+"/g, '"last_used_at":null'));
    expect([list.status, withoutUse(list.body)]).toEqual([200, withoutUse(own.body)]);
    expect([key.status, key.body]).toEqual([200, ownKey.body]);
  });

  it('200 and 201 change, rotate and revoke a key of a customer, in the name of the administrator', async () => {
    await app
      .as(admin)
      .patch(path('/laptop'))
      .send({ name: 'desktop', scopes: ['jobs:write'] })
      .expect(200);
    const rotated = await app.as(admin).post(path('/desktop/rotate')).send({ expires_at: FUTURE }).expect(201);
    const { secret } = rotated.body as { secret: string };
    await app.anyone().set('x-api-key', secret).get('/v1/api-keys/current').expect(200);
    const revoked = await app.as(admin).delete(path('/desktop')).expect(200);
    const repeated = await app.as(admin).delete(path('/desktop')).expect(200);

    expect(revoked.body).toMatchObject({ name: 'desktop', status: 'REVOKED', scopes: ['jobs:write'] });
    expect(repeated.body).toEqual(revoked.body);
    await app.anyone().set('x-api-key', secret).get('/v1/api-keys/current').expect(401);
    expect(
      await app.rows(`SELECT action FROM audit_events WHERE user_id = $1 AND actor_user_id = $2 ORDER BY id`, [
        ada.id,
        admin.id,
      ]),
    ).toEqual(['api_key.updated', 'api_key.rotated', 'api_key.revoked'].map((action) => ({ action })));
  });

  it.each(['get', 'patch', 'delete', 'post'] as const)(
    '404 with the same bytes for an unknown user, an unknown key and "current": %s',
    async (method) => {
      const rest = method === 'post' ? '/rotate' : '';
      const answers = await Promise.all(
        [
          `/v1/users/${randomUUID()}/api-keys/laptop`,
          path('/unknown'),
          `/v1/users/${randomUUID()}/api-keys/unknown`,
        ].map((at) => {
          const request = app.as(admin)[method](`${at}${rest}`);
          return method === 'get' || method === 'delete' ? request : request.send(rest ? { expires_at: FUTURE } : {});
        }),
      );

      expect(answers.map(({ status, text }) => [status, text])).toEqual(
        Array(3).fill([404, JSON.stringify({ status: 404, message: 'There is no such API key' })]),
      );
      await app.as(admin).get(path('/current')).expect(404);
    },
  );

  it('404 for the list of an unknown user', async () => {
    await app.as(admin).get(`/v1/users/${randomUUID()}/api-keys`).expect(404);
  });

  it('200 and an empty list for a user without keys', async () => {
    const { body } = await app
      .as(admin)
      .post('/v1/users')
      .send({ name: 'New', email: `${randomUUID()}@example.com` });

    const { data } = (
      await app
        .as(admin)
        .get(`/v1/users/${(body as { id: string }).id}/api-keys`)
        .expect(200)
    ).body as {
      data: unknown[];
    };

    expect(data).toEqual([]);
  });
});

describe('The rate limit of a key', () => {
  const app = useTestApp();
  let admin: GivenUser;
  let ada: GivenUser;
  beforeEach(async () => {
    admin = await app.given.user({ isAdmin: true });
    ada = await app.given.user();
  });
  const keys = (): ApiKeysService => app.nest.get(ApiKeysService);
  const body = (rest: object = {}) => ({ name: randomUUID(), expires_at: FUTURE, ...rest });
  const limitOf = ({ status, body: answer }: { status: number; body: unknown }): unknown =>
    status < 300 ? (answer as { rate_limit_per_minute: unknown }).rate_limit_per_minute : status;

  /** A key of a user with this limit, as a caller. */
  async function callerWith(user: GivenUser, rateLimitPerMinute: number | null): Promise<GivenUser> {
    const request = { userId: user.id, name: randomUUID(), expiresAt: new Date(FUTURE), rateLimitPerMinute };
    return { ...user, key: (await keys().create(request)).secret };
  }

  it('200 and 201: administrators set it on their own keys and on those of others, and a rotation keeps it', async () => {
    const path = `/v1/users/${ada.id}/api-keys`;

    const own = await app
      .as(admin)
      .post('/v1/api-keys')
      .send(body({ rate_limit_per_minute: 6000 }));
    const created = await app
      .as(admin)
      .post(path)
      .send(body({ rate_limit_per_minute: 5 }));
    const { name, id } = created.body as { name: string; id: string };
    const changed = await app.as(admin).patch(`${path}/${name}`).send({ rate_limit_per_minute: 9000 });
    const rotated = await app.as(ada).post(`/v1/api-keys/${name}/rotate`).send({ expires_at: FUTURE });
    const renamed = await app.as(ada).patch(`/v1/api-keys/${name}`).send({ name: 'renamed' });
    const read = await app.as(ada).get('/v1/api-keys/renamed');
    const none = await app.as(admin).patch(`${path}/renamed`).send({ rate_limit_per_minute: 0 });
    const cleared = await app.as(admin).patch(`${path}/renamed`).send({ rate_limit_per_minute: null });

    expect([own, created, changed, rotated, renamed, read, none, cleared].map(limitOf)).toEqual([
      ...[6000, 5, 9000, 9000, 9000, 9000, 0, null],
    ]);
    expect(
      await app.rows(
        `SELECT changes->'rate_limit_per_minute' AS change FROM audit_events
          WHERE api_key_id = $1 AND changes ? 'rate_limit_per_minute' ORDER BY id`,
        [id],
      ),
    ).toEqual(
      [{ after: 5 }, { before: 5, after: 9000 }, { before: 9000, after: 0 }, { before: 0, after: null }].map(
        (change) => ({ change }),
      ),
    );
  });

  it.each([1, 0, null])('403 for a user who names %j, after 400 and 404 and before 409', async (limit) => {
    const sent = { rate_limit_per_minute: limit };
    const post = (rest: object) => app.as(ada).post('/v1/api-keys').send(body(rest));
    const patch = (name: string, rest: object) => app.as(ada).patch(`/v1/api-keys/${name}`).send(rest);
    const past = { expires_at: '2020-01-01T00:00:00Z' };
    await keys().create({ userId: ada.id, name: 'taken', expiresAt: new Date(FUTURE) });
    await keys().create({ userId: ada.id, name: 'revoked', expiresAt: new Date(FUTURE) });
    await keys().revoke(ada.id, 'revoked');

    const answers = [
      await post({ ...sent, name: 'Not a name' }),
      await post({ ...sent, ...past }),
      await post(sent),
      await post({ ...sent, name: 'taken' }),
      await patch('first-key', { ...sent, name: 'Not a name' }),
      await patch('first-key', { ...sent, ...past }),
      await patch('unknown', sent),
      await patch('first-key', sent),
      await patch('first-key', { ...sent, name: 'taken' }),
      await patch('revoked', { ...sent, expires_at: FUTURE }),
    ];

    expect(answers.map(({ status }) => status)).toEqual([400, 400, 403, 403, 400, 400, 404, 403, 403, 403]);
    expect(answers[2]?.body).toEqual({ status: 403, message: 'Only administrators may set rate_limit_per_minute' });
    expect(await app.rows('SELECT rate_limit_per_minute FROM api_keys WHERE user_id = $1', [ada.id])).toEqual(
      Array(3).fill({ rate_limit_per_minute: null }),
    );
  });

  it.each([-1, 1.5, '5', true, [], 1_000_000_000])('400 for %j', async (rate_limit_per_minute) => {
    const path = `/v1/users/${ada.id}/api-keys`;
    const answers = [
      await app.as(admin).post(path).send(body({ rate_limit_per_minute })),
      await app.as(admin).patch(`${path}/first-key`).send({ rate_limit_per_minute }),
      await app.as(ada).patch('/v1/api-keys/first-key').send({ rate_limit_per_minute }),
    ];

    const message = 'rate_limit_per_minute must be null or an integer from 0 to 999999999';
    expect(answers.map((answer) => answer.body as unknown)).toEqual(Array(3).fill({ status: 400, message }));
  });

  it.each<[creator: number | null, asked: number | null | undefined, result: number | null]>([
    [100, undefined, 100],
    [100, 100, 100],
    [100, 1, 1],
    [100, 101, 403],
    [100, 0, 403],
    [100, null, 403],
    [null, undefined, null],
    [null, null, null],
    [null, 6000, 6000],
    [null, 6001, 403],
    [null, 0, 403],
    [0, undefined, null],
    [0, 0, 0],
    [0, 999_999_999, 999_999_999],
    [0, null, null],
  ])(
    'a key with %j that asks for %j makes one with %j, for its own user and for others',
    async (own, asked, result) => {
      const caller = await callerWith(admin, own);
      const sent = asked === undefined ? {} : { rate_limit_per_minute: asked };

      const answers = [
        await app.as(caller).post('/v1/api-keys').send(body(sent)),
        await app.as(caller).post(`/v1/users/${ada.id}/api-keys`).send(body(sent)),
      ];

      expect(answers.map(limitOf)).toEqual([result, result]);
    },
  );

  it('403 for a higher one comes after 400 and 404, and before 409', async () => {
    const caller = await callerWith(admin, 100);
    const post = (userId: string, rest: object) =>
      app
        .as(caller)
        .post(`/v1/users/${userId}/api-keys`)
        .send(body({ rate_limit_per_minute: 101, ...rest }));

    const answers = [
      await post(ada.id, { expires_at: '2020-01-01T00:00:00Z' }),
      await post(randomUUID(), {}),
      await post(ada.id, { name: 'first-key' }),
    ];

    expect(answers.map(({ status }) => status)).toEqual([400, 404, 403]);
    expect(answers[2]?.body).toEqual({
      status: 403,
      message: 'A key may not create a key with a higher rate_limit_per_minute than its own',
    });
  });

  it('201 a user with a key that has a limit makes others with the same, whatever the default', async () => {
    const caller = await callerWith(ada, 7);

    expect(limitOf(await app.as(caller).post('/v1/api-keys').send(body()))).toBe(7);
  });
});
