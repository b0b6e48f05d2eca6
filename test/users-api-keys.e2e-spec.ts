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
