import { randomUUID } from 'node:crypto';
import type { OpenAPIObject } from '@nestjs/swagger';
import fc from 'fast-check';
import { MigrationExecutor, DataSource } from 'typeorm';
import { digestOf } from '../src/api-keys/api-key.secret.js';
import { MAX_SCOPES, OWN_SCOPES } from '../src/api-keys/scopes.js';
import { DIGESTS, FIND_SECRETS, type SecretRow } from '../src/api-keys/secrets.repository.js';
import { generateApiKey } from '../src/common/api-key-format.js';
import { dataSourceOptions } from '../src/database/data-source.options.js';
import { MIGRATIONS } from '../src/database/migrations.js';
import { ApiKeysService, AuthenticationService, InsufficientScopeError, UsersService } from '../src/index.js';
import { useTestApp } from './support/app.js';
import { administer, createDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

const FUTURE = new Date('2099-01-01T00:00:00.000Z');

interface Documented {
  readonly 'x-required-scope'?: string;
  readonly responses: Readonly<Record<string, unknown>>;
}

describe('The scopes of a key', () => {
  const app = useTestApp();
  let ada: GivenUser;
  beforeEach(async () => {
    ada = await app.given.user();
  });

  const keys = (): ApiKeysService => app.nest.get(ApiKeysService);

  /** Creates a key of ada's, and returns an agent that sends it. */
  async function agentWith(scopes: readonly string[] | null, expiresAt = FUTURE, userId = ada.id) {
    const name = randomUUID();
    const { secret } = await keys().create({ userId, name, expiresAt, scopes });
    return { name, secret, agent: app.anyone().set('x-api-key', secret) };
  }

  it('201 stores them sorted and without duplicates, and every response has them', async () => {
    const body = { name: 'laptop', expires_at: FUTURE, scopes: ['ua:profile:read', 'jobs:write', 'a', 'jobs:write'] };
    const stored = ['a', 'jobs:write', 'ua:profile:read'];

    const created = await app.as(ada).post('/v1/api-keys').send(body).expect(201);
    const rotated = await app.as(ada).post('/v1/api-keys/laptop/rotate').send({ expires_at: FUTURE }).expect(201);
    const read = await app.as(ada).get('/v1/api-keys/laptop').expect(200);

    expect([created.body, rotated.body, read.body]).toEqual(
      Array(3).fill(expect.objectContaining({ scopes: stored }) as object),
    );
    expect((await app.as(ada).get('/v1/api-keys/current').expect(200)).body).toMatchObject({ scopes: null });
  });

  it('200 changes and clears them, and the audit trail has both', async () => {
    const { name } = await agentWith(['a']);
    const path = `/v1/api-keys/${name}`;

    await app.as(ada).patch(path).send({ scopes: [] }).expect(200);
    await app.as(ada).patch(path).send({ scopes: null }).expect(200);
    const unchanged = await app.as(ada).patch(path).send({}).expect(200);

    expect(unchanged.body).toMatchObject({ scopes: null });
    expect(
      await app.rows(
        `SELECT changes->'scopes' AS scopes FROM audit_events WHERE user_id = $1 AND api_key_id = $2 ORDER BY id`,
        [ada.id, (unchanged.body as { id: string }).id],
      ),
    ).toEqual([
      { scopes: { after: ['a'] } },
      { scopes: { before: ['a'], after: [] } },
      { scopes: { before: [], after: '*' } },
    ]);
  });

  it.each([
    [['']],
    [['A']],
    [['-a']],
    [['a b']],
    [['é']],
    [['a'.repeat(65)]],
    [['ua:everything']],
    [['ua:']],
    [[null]],
    [[['a']]],
    ['a'],
    [{}],
    [7],
    [Array.from({ length: MAX_SCOPES + 1 }, (_, n) => `scope-${String(n)}`)],
  ])('400 for %j', async (scopes) => {
    const response = await app.as(ada).post('/v1/api-keys').send({ name: 'laptop', expires_at: FUTURE, scopes });

    expect(response.status).toBe(400);
    expect(response.body).toEqual({
      status: 400,
      message: expect.stringMatching(/^scopes must be null or at most 32/),
    });
  });

  it('are stored as the service accepts them: the constraint and the code have one rule', async () => {
    const character = fc.constantFrom(...'ab09.:/_-A é\u0000'.split(''), '');
    const scope = fc.oneof(
      fc.string({ unit: character, maxLength: 66 }),
      fc.constantFrom('a', 'b', 'a'.repeat(64), 'a'.repeat(65), 'ua:verify', 'jobs:write'),
    );
    const isStorable = async (scopes: readonly string[]): Promise<boolean> => {
      const [row] = (await app.rows('SELECT is_scope_list($1::text[]) AS fits', [scopes])) as { fits: boolean }[];
      return row?.fits ?? false;
    };

    await fc.assert(
      fc.asyncProperty(fc.array(scope, { maxLength: 34 }), async (scopes) => {
        const created = await keys()
          .create({ userId: ada.id, name: randomUUID(), expiresAt: FUTURE, scopes })
          .catch((error: unknown) => error);
        const isAccepted = !(created instanceof Error);
        const sorted = [...new Set(scopes)].sort();
        if (isAccepted) await keys().revokeById(ada.id, (created as { key: { id: string } }).key.id);

        expect(isAccepted).toBe(!sorted.some((one) => one.includes('\0')) && (await isStorable(sorted)));
      }),
      { numRuns: 60 },
    );
    expect(await isStorable(['b', 'a'])).toBe(false);
    expect(await isStorable(['a', 'a'])).toBe(false);
  });

  it('[] may read and revoke its own key, and nothing else', async () => {
    const { agent } = await agentWith([]);

    await agent.get('/v1/users/me').expect(403);
    await agent.get('/v1/api-keys/current').expect(200);
    await agent.delete('/v1/api-keys/current').expect(200);
    await agent.get('/v1/api-keys/current').expect(401);
  });

  it('403 for making a user ACTIVE, or changing address or role, with a key that has scopes, also one of an administrator', async () => {
    const admin = await app.given.user({ isAdmin: true });
    const { agent } = await agentWith(['ua:users:write'], FUTURE, admin.id);
    const path = `/v1/users/${ada.id}`;

    await agent.patch(path).send({ status: 'INACTIVE' }).expect(200);
    const refused = await agent.patch(path).send({ status: 'ACTIVE' }).expect(403);

    expect(refused.body).toEqual({ status: 403, message: 'This needs a key whose scopes are null' });
    for (const changes of [
      { email: `${randomUUID()}@example.com` },
      { is_admin: true },
      { is_admin: false },
      { name: 'New', is_admin: false },
    ])
      expect((await agent.patch(path).send(changes)).body).toEqual(refused.body);
    expect(await app.stored(ada)).toMatchObject({ status: 'INACTIVE', version: '2' });
    await app.as(admin).patch(path).send({ status: 'ACTIVE' }).expect(200);
  });

  it('UsersService lets no key with scopes create an administrator', async () => {
    const by = await app.nest.get(AuthenticationService).authenticate((await agentWith(['ua:users:write'])).secret);
    const users = app.nest.get(UsersService);
    const request = { name: 'Eve', email: `${randomUUID()}@example.com`, isAdmin: true };

    await expect(users.create(request, { by })).rejects.toThrow(InsufficientScopeError);
    await expect(users.createMissing([request], { by })).rejects.toThrow(InsufficientScopeError);
    expect(await users.findByEmail(request.email)).toBeNull();
    expect(await users.create({ ...request, isAdmin: false }, { by })).toMatchObject({ isAdmin: false });
  });

  describe('of the caller bound the keys that it makes and changes', () => {
    const soon = new Date('2098-01-01T00:00:00.000Z');
    const stronger = {
      status: 403,
      message: expect.stringMatching(/^A key with scopes may create, change and rotate only/),
    };

    it('a creation without scopes takes those of the caller', async () => {
      const { agent } = await agentWith(['a', 'ua:keys:write']);

      const { body } = await agent.post('/v1/api-keys').send({ name: 'child', expires_at: soon }).expect(201);

      expect(body).toMatchObject({ scopes: ['a', 'ua:keys:write'] });
    });

    it.each([
      ['more scopes', { scopes: ['b'] }],
      ['all scopes', { scopes: null }],
      ['a longer life', { scopes: ['a'], expires_at: '2099-01-01T00:00:00.001Z' }],
    ])('403 for a new key with %s', async (_, changes) => {
      const { agent } = await agentWith(['a', 'ua:keys:write']);

      const response = await agent.post('/v1/api-keys').send({ name: 'child', expires_at: soon, ...changes });

      expect([response.status, response.body]).toEqual([403, stronger]);
      await app.as(ada).get('/v1/api-keys/child').expect(404);
    });

    it.each([
      ['its scopes grow', { scopes: ['a'] }, { scopes: ['a', 'b'] }],
      ['its scopes become all', { scopes: ['a'] }, { scopes: null }],
      ['it has more, and gets fewer', { scopes: ['a', 'b'] }, { scopes: ['a'] }],
      ['it may do everything', { scopes: null }, { name: 'other' }],
      ['it outlives the caller', { scopes: ['a'], expiresAt: new Date('2099-06-01') }, { name: 'other' }],
      ['it would outlive the caller', { scopes: ['a'] }, { expires_at: '2099-06-01T00:00:00Z' }],
    ])('403 for a change where %s', async (_, key, changes) => {
      const { agent } = await agentWith(['a', 'ua:keys:write']);
      await keys().create({ userId: ada.id, name: 'target', expiresAt: soon, ...key });
      const before = await app.as(ada).get('/v1/api-keys/target').expect(200);

      const response = await agent.patch('/v1/api-keys/target').send(changes);

      expect([response.status, response.body]).toEqual([403, stronger]);
      expect((await app.as(ada).get('/v1/api-keys/target').expect(200)).body).toEqual(before.body);
    });

    it('403 for rotating a key that may do more, or beyond the own expiry; a narrower one is 201', async () => {
      const { agent, name } = await agentWith(['a', 'ua:keys:write']);
      await agentWith(['b']);
      const wide = await agentWith(['a', 'b']);
      const narrow = await agentWith(['a']);
      const rotate = (target: string, expires_at: unknown) =>
        agent.post(`/v1/api-keys/${target}/rotate`).send({ expires_at });

      expect((await rotate(wide.name, soon)).body).toEqual(stronger);
      expect((await rotate(narrow.name, '2099-06-01T00:00:00Z')).body).toEqual(stronger);
      expect((await rotate(name, '2099-06-01T00:00:00Z')).body).toEqual(stronger);
      await wide.agent.get('/v1/api-keys/current').expect(200);
      await rotate(narrow.name, soon).expect(201);
    });

    it('400 and 404 come before 403, and 403 before 409', async () => {
      const { agent } = await agentWith(['a', 'ua:keys:write']);
      await keys().create({ userId: ada.id, name: 'target', expiresAt: soon, scopes: ['a'] });
      await keys().create({ userId: ada.id, name: 'ended', expiresAt: soon, scopes: null });
      await keys().revoke(ada.id, 'ended');
      const past = '2020-01-01T00:00:00Z';

      await agent.post('/v1/api-keys').send({ name: 'child', expires_at: past, scopes: null }).expect(400);
      await agent.patch('/v1/api-keys/none').send({ scopes: null }).expect(404);
      await agent.patch('/v1/api-keys/target').send({ scopes: null, name: 'ended' }).expect(403);
      await agent.post('/v1/api-keys/ended/rotate').send({ expires_at: soon }).expect(403);
      await agent.post('/v1/api-keys').send({ name: 'target', expires_at: soon, scopes: null }).expect(403);
    });

    it('an administrator with scopes names the scopes of keys of others (400), which are bounded too', async () => {
      const admin = await app.given.user({ isAdmin: true });
      const { agent } = await agentWith(['a', 'ua:users:keys:write'], FUTURE, admin.id);
      const create = (id: string, body: object) =>
        agent.post(`/v1/users/${id}/api-keys`).send({ name: 'given', expires_at: soon, ...body });

      await create(ada.id, {}).expect(400);
      await create(ada.id, { scopes: ['b'] }).expect(403);
      await create(randomUUID(), { scopes: ['b'] }).expect(404);
      await create(ada.id, { scopes: ['a'] }).expect(201);
    });

    it('403 for a superseded secret, also of a key without scopes; it may still revoke', async () => {
      const { name, agent } = await agentWith(null);
      await keys().rotate(ada.id, name, { expiresAt: FUTURE, overlapSeconds: 3600 });
      const message = 'A secret that a rotation has replaced may not create, change or rotate keys: use the new one';

      for (const answer of [
        await agent.post('/v1/api-keys').send({ name: 'child', expires_at: FUTURE }),
        await agent.patch(`/v1/api-keys/${name}`).send({ name: 'other' }),
        await agent.post(`/v1/api-keys/${name}/rotate`).send({ expires_at: FUTURE }),
      ])
        expect(answer.body).toEqual({ status: 403, message });
      await agent.delete('/v1/api-keys/current').expect(200);
    });
  });

  it('of a refused secret are not revealed: its row says no more than that of one that never existed', async () => {
    const make = async (change: (name: string) => Promise<unknown>): Promise<string> => {
      const { name, secret } = await agentWith(['a']);
      await change(name);
      return secret;
    };
    const expire = (name: string) => app.given.sql(`UPDATE api_keys SET expires_at = now() WHERE name = $1`, [name]);
    const secrets = {
      unknown: generateApiKey(),
      revoked: await make((name) => keys().revoke(ada.id, name)),
      expired: await make(expire),
      superseded: await make(async (name) => {
        await keys().rotate(ada.id, name, { expiresAt: FUTURE, overlapSeconds: 60 });
        await app.given.sql('UPDATE superseded_secrets SET expires_at = now()');
      }),
      user_inactive: await (async () => {
        const bob = await app.given.user();
        await app.given.sql(`UPDATE users SET status = 'INACTIVE' WHERE id = $1`, [bob.id]);
        return bob.key;
      })(),
    };

    for (const [refusal, secret] of Object.entries(secrets)) {
      const digest = digestOf(secret);
      const [row] = await FIND_SECRETS.run(app.nest.get(DataSource), DIGESTS.values([digest]));
      const { digest: found, refusal: reason, ...rest } = row ?? ({} as Partial<SecretRow>);
      expect([reason, found]).toEqual([refusal, digest]);
      expect([...new Set(Object.values(rest))]).toEqual([null]);
      expect(Object.keys(rest)).toContain('scopes');
    }
  });

  it('have a closed set of names of this API: those of the routes, each with the role of its routes', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;
    const operations = Object.values(paths).flatMap((methods) => Object.values(methods) as Documented[]);

    const used = operations.flatMap(({ 'x-required-scope': scope, responses }): [string, string][] => {
      const texts = JSON.stringify(responses['403'] ?? {});
      const isForAdministrators = texts.includes('"role"') && !texts.includes('parameter_scope');
      return scope ? [[scope, isForAdministrators ? 'administrator' : 'user']] : [];
    });

    const ofFields = { 'ua:credits:charge': 'administrator' }; // of the body of POST /v1/verify
    expect({ ...Object.fromEntries(used), ...ofFields }).toEqual(OWN_SCOPES);
  });
});

describe('The step to 2.0', () => {
  const before = MIGRATIONS.findIndex(({ name }) => name.startsWith('AddScopes'));

  async function migrated(count: number) {
    const database = await createDatabase('empty');
    const { directUrl } = database;
    const options = { ...dataSourceOptions(directUrl), migrations: MIGRATIONS.slice(0, count) };
    const dataSource = await new DataSource(options).initialize();
    await dataSource.runMigrations();
    return { directUrl, dataSource, drop: () => dataSource.destroy().then(() => database.drop()) };
  }

  it('stops older instances: the lookup of version 1 fails, so it authenticates nobody', async () => {
    const lookup = 'SELECT * FROM api_keys WHERE digest = sha256($$x$$) AND revoked_at IS NULL';
    const old = await migrated(before);
    const current = await migrated(MIGRATIONS.length);

    await expect(administer(lookup, old.directUrl)).resolves.toEqual([]);
    await expect(administer(lookup, current.directUrl)).rejects.toMatchObject({ code: '42703' });
    await old.drop();
    await current.drop();
  });

  it('is not undone while a live key has scopes', async () => {
    const { directUrl, dataSource, drop } = await migrated(MIGRATIONS.length);
    await administer(
      `WITH owner AS (INSERT INTO users (name, email) VALUES ('Ada', 'ada@example.com') RETURNING id)
       INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest, scopes)
       SELECT id, 'laptop', now() + interval '1 day', 'ua_00000', sha256('x'), '{a}' FROM owner`,
      directUrl,
    );
    const undo = async (): Promise<void> => {
      const executor = new MigrationExecutor(dataSource);
      for (let left = MIGRATIONS.length; left > before; left -= 1) await executor.undoLastMigration();
    };

    await expect(undo()).rejects.toThrow('1 live keys have scopes, which version 1 would ignore');
    await administer('UPDATE api_keys SET revoked_at = now()', directUrl);
    await dataSource.runMigrations();
    await undo();
    await administer('SELECT digest FROM api_keys', directUrl);
    await drop();
  });
});
