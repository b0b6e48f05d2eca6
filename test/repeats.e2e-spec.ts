import { readFile } from 'node:fs/promises';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

const KEYS = '/v1/api-keys';
const EXPIRY = { expires_at: '2099-01-01T00:00:00.000Z' };

/**
 * "If no response arrives" in the README, and the details of each operation: the first response is
 * the one that nobody has read.
 */
describe('A request that is repeated after it was carried out', () => {
  const app = useTestApp();
  let admin: GivenUser;
  let ada: GivenUser;
  beforeEach(async () => {
    [admin, ada] = [await app.given.user({ isAdmin: true }), await app.given.user()];
  });
  const statusFor = async (key: string): Promise<number> =>
    (await app.anyone().get('/v1/users/me').set('x-api-key', key)).status;

  it('409 for a key, whose rotation gives a secret that works', async () => {
    const create = () =>
      app
        .as(ada)
        .post(KEYS)
        .send({ name: 'laptop', ...EXPIRY });

    await create();
    const repeated = await create();
    const rotated = await app.as(ada).post(`${KEYS}/laptop/rotate`).send(EXPIRY);

    expect([repeated.status, rotated.status]).toEqual([409, 201]);
    expect(await statusFor((rotated.body as { secret: string }).secret)).toBe(200);
  });

  it("409 for somebody else's key, and a key with another name works", async () => {
    const create = (name: string) =>
      app
        .as(admin)
        .post(`/v1/users/${ada.id}/api-keys`)
        .send({ name, ...EXPIRY });

    await create('laptop');
    const [repeated, other] = [await create('laptop'), await create('laptop-2')];

    expect([repeated.status, other.status]).toEqual([409, 201]);
    expect(await statusFor((other.body as { secret: string }).secret)).toBe(200);
  });

  it('403 for a rotation with the old secret, which works on, and another key of the user rotates it', async () => {
    const other = await app
      .as(ada)
      .post(KEYS)
      .send({ name: 'other', ...EXPIRY });
    const rotate = (key: string) =>
      app
        .anyone()
        .post(`${KEYS}/first-key/rotate`)
        .set('x-api-key', key)
        .send({ ...EXPIRY, overlap_seconds: 60 });

    const first = await rotate(ada.key);
    const repeated = await rotate(ada.key);
    const rotated = await rotate((other.body as { secret: string }).secret);

    expect([first.status, repeated.status, rotated.status]).toEqual([201, 403, 201]);
    expect(await statusFor(ada.key)).toBe(200);
    expect(await statusFor((rotated.body as { secret: string }).secret)).toBe(200);
  });

  it('401 for a rotation without overlap by its own key, and another key of the user rotates it', async () => {
    const other = await app
      .as(ada)
      .post(KEYS)
      .send({ name: 'other', ...EXPIRY });
    const rotate = (key: string) => app.anyone().post(`${KEYS}/first-key/rotate`).set('x-api-key', key).send(EXPIRY);

    await rotate(ada.key);
    const repeated = await rotate(ada.key);
    const rotated = await rotate((other.body as { secret: string }).secret);

    expect([repeated.status, rotated.status]).toEqual([401, 201]);
    expect(await statusFor((rotated.body as { secret: string }).secret)).toBe(200);
  });

  it('404 for the new name of a key, which has it', async () => {
    const rename = () => app.as(ada).patch(`${KEYS}/first-key`).send({ name: 'laptop' });

    await rename();
    const repeated = await rename();

    expect(repeated.status).toBe(404);
    expect((await app.as(ada).get(`${KEYS}/laptop`)).status).toBe(200);
  });

  it('409 for a user, who is found by the address', async () => {
    const create = () =>
      app
        .as(admin)
        .post('/v1/users')
        .send({ name: 'Bob', email: `bob-${ada.id}@example.com` });

    const first = await create();
    const repeated = await create();
    const found = await app.as(admin).get(`/v1/users?email=bob-${ada.id}@example.com`);

    expect(repeated.status).toBe(409);
    expect(found.body).toMatchObject({ data: [first.body] });
  });

  it('412 for a change with If-Match, which was made', async () => {
    const change = () => app.as(ada).patch('/v1/users/me').set('If-Match', `"${ada.id}.1"`).send({ name: 'New' });

    await change();

    expect((await change()).status).toBe(412);
    expect(await app.stored(ada)).toMatchObject({ name: 'New' });
  });

  it('401 for the revocation of its own key', async () => {
    await app.as(ada).delete(`${KEYS}/current`);

    expect((await app.as(ada).delete(`${KEYS}/current`)).status).toBe(401);
  });

  it('is described for each operation whose second response is another', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as {
      paths: Record<string, Record<string, { operationId: string; description: string }>>;
    };
    const details = new Map(
      Object.values(paths).flatMap((path) =>
        Object.values(path).map(({ operationId, description }) => [operationId, description] as const),
      ),
    );

    const others = ['createApiKey', 'createApiKeyForUser', 'rotateApiKey', 'updateApiKey', 'createUser'];
    const conditional = ['updateMe', 'updateUser', 'deactivateUser'];
    for (const id of [...others, ...conditional, 'revokeCurrentApiKey'])
      expect([id, details.get(id)]).toEqual([id, expect.stringContaining('After 503 or without a response')]);
    expect(await readFile('README.md', 'utf8')).not.toContain('Nothing happens twice');
  });
});
