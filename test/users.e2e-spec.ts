import { randomUUID } from 'node:crypto';
import { succeeded } from './support/agent.js';
import { useTestApp } from './support/app.js';
import { wireUserForAdministrators } from './support/given.js';
import { saying } from './support/message.js';

const USERS = '/v1/users';

describe('Administration of users', () => {
  const app = useTestApp();
  const administrator = () => app.given.user({ isAdmin: true });

  describe('POST /v1/users', () => {
    it('201 adds an active user without credits, keys or a secret in the answer', async () => {
      const admin = await administrator();

      const response = await app.as(admin).post(USERS).send({ name: ' Ada ', email: 'Ada@Example.com' });

      const user = response.body as { id: string };
      expect(response.status).toBe(201);
      expect(user).toEqual({
        id: expect.any(String),
        created_at: expect.any(String),
        updated_at: expect.any(String),
        status: 'ACTIVE',
        name: 'Ada',
        email: 'Ada@Example.com',
        credits_balance: 0,
        is_admin: false,
        rate_limit_per_minute: null,
      });
      expect(response.headers.location).toBe(`/v1/users/${user.id}`);
      expect((await app.as(admin).get(`/v1/users/${user.id}`)).body).toEqual(user);
      expect(await app.rows('SELECT FROM api_keys WHERE user_id = $1', [user.id])).toEqual([]);
    });

    it.each<[object, string | RegExp]>([
      [{ email: 'a@example.com' }, 'name must be a string'],
      [{ name: 'A' }, 'email must be a string'],
      [{ name: '', email: 'a@example.com' }, /^name must have/],
      [{ name: 'A', email: 'nobody' }, 'email must be an e-mail address'],
      [{ name: 'A', email: '"a@b"@example.com' }, 'email must be an e-mail address'],
      [{ name: 'A', email: 'a@b' }, 'email must be an e-mail address'],
      [{ name: 'A', email: 'a b@example.com' }, 'email must be an e-mail address'],
      [{ name: 'A', email: `${'a'.repeat(250)}@example.com` }, 'email must be an e-mail address'],
      [{ name: 'A', email: 'ä@example.com' }, 'email must be an e-mail address'],
      [{ name: 'A', email: 'a@ä.example.com' }, 'email must be an e-mail address'],
      [{ name: 'A', email: 'a@example.com\n' }, 'email must be an e-mail address'],
      [{ name: 'A', email: 'a\u0000@example.com' }, 'email must be an e-mail address'],
      ...[0, -1, 1.5, '5', true, 1_000_000_000].map((rate_limit_per_minute): [object, string] => [
        { name: 'A', email: 'a@example.com', rate_limit_per_minute },
        'rate_limit_per_minute must be null or an integer from 1 to 999999999',
      ]),
      [{ name: 'A', email: 'a@example.com', is_admin: true }, 'The property "is_admin" is not known here'],
      [{ name: 'A', email: 'a@example.com', credits_balance: 5 }, 'The property "credits_balance" is not known here'],
    ])('400 refuses %j', async (body, message) => {
      const response = await app
        .as(await administrator())
        .post(USERS)
        .send(body);

      expect(response.body).toEqual({
        status: 400,
        message: saying(message),
      });
    });

    it('409 for an address that is taken, whatever its case, also when two arrive at once', async () => {
      const admin = await administrator();
      const name = randomUUID();

      const responses = await Promise.all(
        [`${name}@example.com`, `${name.toUpperCase()}@EXAMPLE.com`].map((email) =>
          app.as(admin).post(USERS).send({ name: 'A', email }),
        ),
      );

      expect(responses.filter(succeeded)).toHaveLength(1);
      expect(responses.find(({ status }) => status === 409)?.body).toEqual({
        status: 409,
        message: 'There is already a user with this e-mail address',
      });
    });
  });

  describe('GET /v1/users/{user_id}', () => {
    it('200 answers the user, with an ETag; 404 for an id nobody holds', async () => {
      const admin = await administrator();
      const ada = await app.given.user();
      const nobody = randomUUID();

      const response = await app.as(admin).get(`${USERS}/${ada.id.toUpperCase()}`);

      expect(response.body).toEqual(wireUserForAdministrators(ada));
      expect(
        (
          await app
            .as(admin)
            .get(`${USERS}/${ada.id}`)
            .set('If-None-Match', response.headers.etag ?? '')
        ).status,
      ).toBe(304);
      expect((await app.as(admin).get(`${USERS}/${nobody}`)).body).toEqual({
        status: 404,
        message: `User with ID ${nobody} not found`,
      });
    });

    it.each(['1', 'nobody', '%00', `${randomUUID()}0`])(
      '404 for a path whose id is no UUID, before it asks for a key: %s',
      async (id) => {
        expect((await app.anyone().get(`${USERS}/${id}`)).body).toEqual({ status: 404, message: 'No such route' });
        expect((await app.anyone().head(`${USERS}/${id}`)).status).toBe(404);
      },
    );

    it('405 for the methods that /v1/users/me does not have, though users have them', async () => {
      const response = await app.as(await administrator()).delete(`${USERS}/me`);

      expect(response.status).toBe(405);
      expect(response.headers.allow).toBe('GET, PATCH, HEAD');
    });
  });

  describe('PATCH /v1/users/{user_id}', () => {
    it('200 changes name and status, and leaves what is absent', async () => {
      const admin = await administrator();
      const ada = await app.given.user({ name: 'Ada' });
      const patch = (body: object) => app.as(admin).patch(`${USERS}/${ada.id}`).send(body);

      expect((await patch({ name: 'Ada L.' })).body).toMatchObject({ name: 'Ada L.', status: 'ACTIVE' });
      expect((await patch({ status: 'INACTIVE' })).body).toMatchObject({ name: 'Ada L.', status: 'INACTIVE' });
      expect((await app.as(ada).get('/v1/users/me')).status).toBe(401);
      expect((await patch({ status: 'ACTIVE', name: 'Ada' })).body).toMatchObject({ name: 'Ada', status: 'ACTIVE' });
      expect((await app.as(ada).get('/v1/users/me')).status).toBe(200);
      expect((await app.stored(ada)).version).toBe('4');
    });

    it('200 corrects address and role, with another ETag and an event each time', async () => {
      const admin = await administrator();
      const ada = await app.given.user({ email: `${randomUUID()}@example.com` });
      const email = `${randomUUID()}@EXAMPLE.com`;
      const patch = (body: object, version: number) =>
        app
          .as(admin)
          .patch(`${USERS}/${ada.id}`)
          .set('If-Match', `"${ada.id}.${String(version)}"`)
          .send(body);

      const corrected = await patch({ email }, 1).expect(200);
      const same = await patch({ email, is_admin: false }, 2).expect(200);
      const promoted = await patch({ is_admin: true, name: 'Ada' }, 2).expect(200);
      await patch({ email: ada.row.email }, 2).expect(412);

      expect(corrected.body).toEqual({
        ...wireUserForAdministrators(ada),
        email,
        updated_at: (corrected.body as { updated_at: string }).updated_at,
      });
      expect([corrected, same, promoted].map(({ headers }) => headers.etag)).toEqual(
        [2, 2, 3].map((version) => `"${ada.id}.${String(version)}"`),
      );
      expect(promoted.body).toMatchObject({ email, is_admin: true, name: 'Ada' });
      expect(
        await app.rows(`SELECT changes FROM audit_events WHERE user_id = $1 AND action = 'user.updated' ORDER BY id`, [
          ada.id,
        ]),
      ).toEqual([
        { changes: { email: { before: ada.row.email, after: email } } },
        { changes: { is_admin: { before: false, after: true }, name: { before: ada.row.name, after: 'Ada' } } },
      ]);
      expect((await app.as(admin).get(USERS).query({ email: email.toLowerCase() })).body).toMatchObject({
        data: [{ id: ada.id }],
      });
    });

    it('409 for an address that another user has, whatever its case, also when two take it at once', async () => {
      const admin = await administrator();
      const [ada, bob, eve] = [await app.given.user(), await app.given.user(), await app.given.user()];
      const patch = (user: { id: string }, email: string) =>
        app.as(admin).patch(`${USERS}/${user.id}`).send({ email, name: 'New' });
      const wanted = `${randomUUID()}@example.com`;

      const taken = await patch(ada, eve.row.email.toUpperCase());
      const own = await patch(ada, ada.row.email.toUpperCase());
      const both = await Promise.all([patch(ada, wanted), patch(bob, wanted.toUpperCase())]);

      expect(taken.body).toEqual({ status: 409, message: 'There is already a user with this e-mail address' });
      expect(own.body).toMatchObject({ email: ada.row.email.toUpperCase() });
      expect(both.filter(succeeded)).toHaveLength(1);
      expect(both.find(({ status }) => status === 409)?.body).toEqual(taken.body);
      expect((await app.stored(bob)).name === 'New').toBe(both[1].status === 200);
    });

    it('a key does what the role of its owner allows, from the request after a promotion or demotion on', async () => {
      const admin = await administrator();
      const ada = await app.given.user();
      const { secret } = (
        await app
          .as(ada)
          .post('/v1/api-keys')
          .send({ name: 'reader', expires_at: '2100-01-01T00:00:00Z', scopes: ['ua:users:read', 'ua:profile:read'] })
          .expect(201)
      ).body as { secret: string };
      const statuses = async () => [
        (await app.as(ada).get(USERS)).status,
        (await app.as(ada).get('/v1/users/me')).status,
        (await app.as({ ...ada, key: secret }).get(USERS)).status,
        (await app.as({ ...ada, key: secret }).get('/v1/users/me')).status,
      ];
      const patch = (is_admin: boolean) => app.as(admin).patch(`${USERS}/${ada.id}`).send({ is_admin }).expect(200);

      const before = await statuses();
      await patch(true);
      const promoted = await statuses();
      await patch(false);

      expect(before).toEqual([403, 200, 403, 200]);
      expect(promoted).toEqual([200, 200, 200, 200]);
      expect(await statuses()).toEqual(before);
    });

    it('200 changes the rate limit and takes it away, with another ETag and an event each time', async () => {
      const admin = await administrator();
      const ada = await app.given.user();
      const patch = (rate_limit_per_minute: number | null, etag: string) =>
        app.as(admin).patch(`${USERS}/${ada.id}`).set('If-Match', etag).send({ rate_limit_per_minute });

      const first = await patch(600, `"${ada.id}.1"`).expect(200);
      const same = await patch(600, `"${ada.id}.2"`).expect(200);
      const second = await patch(null, `"${ada.id}.2"`).expect(200);
      await patch(5, `"${ada.id}.2"`).expect(412);

      expect([first, same, second].map(({ headers }) => headers.etag)).toEqual(
        [2, 2, 3].map((version) => `"${ada.id}.${String(version)}"`),
      );
      expect(first.body).toMatchObject({ rate_limit_per_minute: 600 });
      expect((same.body as { updated_at: string }).updated_at).toBe((first.body as { updated_at: string }).updated_at);
      expect(second.body).toMatchObject({ rate_limit_per_minute: null, name: ada.row.name });
      expect((await app.as(ada).get('/v1/users/me')).headers.etag).toBe(`"${ada.id}.3"`);
      expect(
        await app.rows(`SELECT changes FROM audit_events WHERE user_id = $1 AND action = 'user.updated' ORDER BY id`, [
          ada.id,
        ]),
      ).toEqual([
        { changes: { rate_limit_per_minute: { before: null, after: 600 } } },
        { changes: { rate_limit_per_minute: { before: 600, after: null } } },
      ]);
    });

    it('200 lists and reads the rate limit; the user itself is not told it', async () => {
      const admin = await administrator();
      const email = `${randomUUID()}@example.com`;
      const created = await app
        .as(admin)
        .post(USERS)
        .send({ name: 'Ada', email, rate_limit_per_minute: 5 })
        .expect(201);
      const ada = created.body as { id: string };
      await app.given.sql('UPDATE users SET rate_limit_per_minute = 7 WHERE id = $1', [admin.id]);

      expect(created.body).toMatchObject({ rate_limit_per_minute: 5 });
      expect((await app.as(admin).get(`${USERS}/${ada.id}`)).body).toEqual(created.body);
      expect((await app.as(admin).get(USERS).query({ email })).body).toMatchObject({ data: [created.body] });
      expect(Object.keys((await app.as(admin).get('/v1/users/me')).body as object)).toEqual(
        'id created_at updated_at status name email credits_balance'.split(' '),
      );
    });

    it('400, 404 and 412 change nothing', async () => {
      const admin = await administrator();
      const ada = await app.given.user();
      const patch = (body: object, id = ada.id) => app.as(admin).patch(`${USERS}/${id}`).send(body);

      expect((await patch({ status: 'GONE' })).body).toEqual({
        status: 400,
        message: 'status must be one of ACTIVE, INACTIVE',
      });
      expect((await patch({ status: null })).status).toBe(400);
      expect((await patch({ name: 'X', rate_limit_per_minute: 0 })).status).toBe(400);
      for (const email of ['nobody', 'ä@example.com', 'a@b', 'a@example.com\n', null, 7])
        expect((await patch({ email, name: 'X' })).status).toBe(400);
      for (const is_admin of [null, 'true', 1])
        expect((await patch({ is_admin, name: 'X' })).body).toEqual({
          status: 400,
          message: 'is_admin must be true or false',
        });
      expect((await patch({ credits_balance: 1 })).body).toEqual({
        status: 400,
        message: 'The property "credits_balance" is not known here',
      });
      expect((await patch({ name: 'X' }, randomUUID())).status).toBe(404);
      expect((await patch({ name: 'X' }).set('If-Match', `"${ada.id}.7"`)).status).toBe(412);
      expect(await app.stored(ada)).toEqual(ada.row);
    });

    it('lets two administrators change different fields at once, and loses neither', async () => {
      const [admin, other] = [await administrator(), await administrator()];

      for (let turn = 0; turn < 10; turn += 1) {
        const ada = await app.given.user();
        await Promise.all([
          app.as(admin).patch(`${USERS}/${ada.id}`).send({ name: 'New' }),
          app.as(other).patch(`${USERS}/${ada.id}`).send({ status: 'INACTIVE' }),
          app.given.sql('UPDATE users SET credits_balance = 7 WHERE id = $1', [ada.id]),
        ]);
        expect(await app.stored(ada)).toMatchObject({
          name: 'New',
          status: 'INACTIVE',
          creditsBalance: 7,
          version: '3',
        });
      }
    });
  });

  describe('DELETE /v1/users/{user_id}', () => {
    it('204 deactivates a user, whose keys stop with the next request; safe to repeat', async () => {
      const admin = await administrator();
      const ada = await app.given.user();

      const first = await app.as(admin).delete(`${USERS}/${ada.id}`);
      const refused = await app.as(ada).get('/v1/users/me');
      const second = await app.as(admin).delete(`${USERS}/${ada.id}`);

      expect([first.status, first.text, refused.status, second.status]).toEqual([204, '', 401, 204]);
      expect(await app.stored(ada)).toMatchObject({ status: 'INACTIVE', version: '2' });
      expect((await app.as(admin).delete(`${USERS}/${randomUUID()}`)).status).toBe(404);
    });
  });

  it('412 deactivates nobody while If-Match names another version', async () => {
    const admin = await administrator();
    const ada = await app.given.user();
    const deactivate = (version: string) =>
      app.as(admin).delete(`${USERS}/${ada.id}`).set('if-match', `"${ada.id}.${version}"`);

    expect((await deactivate('2')).status).toBe(412);
    expect(await app.stored(ada)).toEqual(ada.row);
    expect((await deactivate('1')).status).toBe(204);
  });

  describe('POST /v1/users/{user_id}/api-keys', () => {
    it('400 for a bad name or an expiry that has passed, 404 only then for a user who does not exist', async () => {
      const admin = await administrator();
      const nobody = randomUUID();
      const make = (body: object) => app.as(admin).post(`${USERS}/${nobody}/api-keys`).send(body);

      expect((await make({ name: 'BAD NAME', expires_at: '2100-01-01T00:00:00Z' })).status).toBe(400);
      expect((await make({ name: 'x', expires_at: '2020-01-01T00:00:00Z' })).status).toBe(400);
      expect((await make({ name: 'x', expires_at: '2100-01-01T00:00:00Z' })).body).toEqual({
        status: 404,
        message: `User with ID ${nobody} not found`,
      });
    });

    it('201 makes a key for the user, which works as that user', async () => {
      const admin = await administrator();
      const ada = await app.given.user();

      const response = await app
        .as(admin)
        .post(`${USERS}/${ada.id}/api-keys`)
        .send({ name: 'made', expires_at: '2100-01-01T00:00:00Z' });

      const { secret } = response.body as { secret: string };
      expect(response.status).toBe(201);
      expect(response.headers['cache-control']).toBe('no-store');
      expect((await app.anyone().get('/v1/users/me').set('x-api-key', secret)).body).toMatchObject({ id: ada.id });
      expect((await app.as(ada).get('/v1/api-keys/made')).status).toBe(200);
      expect(
        (
          await app
            .as(admin)
            .post(`${USERS}/${randomUUID()}/api-keys`)
            .send({ name: 'x', expires_at: '2100-01-01T00:00:00Z' })
        ).status,
      ).toBe(404);
    });
  });
});

describe('The last active administrator', () => {
  const app = useTestApp();

  it('409 cannot be demoted or deactivated in any way, and of two who do it to each other at once one remains', async () => {
    for (let turn = 0; turn < 5; turn += 1) {
      const [ada, bob] = [await app.given.user({ isAdmin: true }), await app.given.user({ isAdmin: true })];
      await app.given.sql(`UPDATE users SET is_admin = false WHERE id <> ALL ($1)`, [[ada.id, bob.id]]);

      const responses = await Promise.all([
        turn % 2 === 0
          ? app.as(ada).delete(`/v1/users/${bob.id}`)
          : app.as(ada).patch(`/v1/users/${bob.id}`).send({ is_admin: false }),
        app.as(bob).patch(`/v1/users/${ada.id}`).send({ status: 'INACTIVE' }),
      ]);
      const left = (await app.rows(`SELECT id FROM users WHERE is_admin AND status = 'ACTIVE'`)) as [{ id: string }];

      expect(responses.filter(succeeded)).toHaveLength(1);
      expect(left).toHaveLength(1);
      const last = left[0].id === ada.id ? ada : bob;
      for (const answer of [
        await app.as(last).delete(`/v1/users/${last.id}`),
        await app.as(last).patch(`/v1/users/${last.id}`).send({ status: 'INACTIVE' }),
        await app.as(last).patch(`/v1/users/${last.id}`).send({ is_admin: false, name: 'New' }),
      ]) {
        expect(answer.body).toEqual({
          status: 409,
          message: 'The last active administrator cannot be deactivated, demoted or erased',
        });
      }
    }
  });
});
