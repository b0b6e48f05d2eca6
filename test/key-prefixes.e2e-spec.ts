import fc from 'fast-check';
import type { OpenAPIObject } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { ApiKeysService } from '../src/api-keys/api-keys.service.js';
import { AuthenticationService } from '../src/api-keys/authentication.service.js';
import { generateApiKey } from '../src/common/api-key-format.js';
import { FIRST_KEY_NAME } from '../src/onboarding/onboarding.service.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';
import { Programs } from './support/server-process.js';

const EXPIRES = new Date('2999-01-01T00:00:00Z');

describe('API_KEY_PREFIX', () => {
  let database: TestDatabase;
  const instances: TestApp[] = [];

  beforeAll(async () => {
    database = await createDatabase();
  });
  afterEach(async () => {
    for (const instance of instances.splice(0)) await instance.close();
  });
  afterAll(async () => {
    await database.drop();
  });

  const start = async (API_KEY_PREFIX: string): Promise<TestApp> => {
    const instance = await startTestApp(database.url, { API_KEY_PREFIX });
    instances.push(instance);
    return instance;
  };
  const restart = async (instance: TestApp, prefixes: string): Promise<TestApp> => {
    instances.splice(instances.indexOf(instance), 1);
    await instance.close();
    return start(prefixes);
  };
  const statusOf = async (instance: TestApp, key: string): Promise<number> =>
    (await instance.anyone().get('/v1/users/me').set('x-api-key', key)).status;
  const rotate = async (instance: TestApp, user: GivenUser): Promise<string> => {
    const rotation = { expiresAt: EXPIRES, overlapSeconds: 3600 };
    return (await instance.nest.get(ApiKeysService).rotate(user.id, FIRST_KEY_NAME, rotation)).secret;
  };
  const prefixOf = (key: string): string => key.slice(0, -49);

  it('changes without a refused key: a new prefix is listed second on every instance, then first', async () => {
    let one = await start('ua_');
    let other = await start('ua_');
    const keys: string[] = [];
    const works = async (): Promise<void> => {
      for (const key of keys) {
        expect([prefixOf(key), await statusOf(one, key)]).toEqual([prefixOf(key), 200]);
        expect([prefixOf(key), await statusOf(other, key)]).toEqual([prefixOf(key), 200]);
      }
    };
    const old = await one.given.user();
    keys.push(old.key);

    for (const prefixes of ['ua_,acme_', 'acme_,ua_']) {
      one = await restart(one, prefixes);
      keys.push((await one.given.user()).key, (await other.given.user()).key);
      await works();
      other = await restart(other, prefixes);
      keys.push((await other.given.user()).key);
      await works();
    }
    keys.push(await rotate(one, old));
    await works(); // the old secret within its overlap, too

    expect(keys.map(prefixOf)).toEqual(['ua_', 'ua_', 'ua_', 'ua_', 'acme_', 'ua_', 'acme_', 'acme_']);
    one = await restart(one, 'acme_');
    const counted = await one.statementsDuring(async () => {
      for (const key of keys.filter((each) => each.startsWith('ua_'))) expect(await statusOf(one, key)).toBe(401);
    });
    expect(counted).toBe(0);
    for (const key of keys.filter((each) => each.startsWith('acme_'))) expect(await statusOf(one, key)).toBe(200);
  });

  it('shows the prefix of a key and five more characters, also of one that is not listed any more', async () => {
    const before = await start('acme_live_');
    const ada = await before.given.user();
    const after = await restart(before, 'acme_');
    const body = { name: 'next', expires_at: EXPIRES };
    const admin = await after.given.user({ isAdmin: true });

    const made = await after.as(admin).post(`/v1/users/${ada.id}/api-keys`).send(body);
    const listed = await after.as(admin).get(`/v1/users/${ada.id}/api-keys`);

    const { secret, prefix } = made.body as { secret: string; prefix: string };
    expect(secret).toMatch(/^acme_[0-9A-Za-z]{49}$/);
    expect(prefix).toBe(secret.slice(0, 10));
    expect((listed.body as { data: { prefix: string }[] }).data.map((key) => key.prefix)).toEqual([
      prefix,
      ada.key.slice(0, 15),
    ]);
  });

  it('lists prefixes of which one begins with another: no key is taken for one of the other', async () => {
    const [app, shorter, longer] = [await start('acme_,acme_live_'), await start('acme_'), await start('acme_live_')];
    const [short, long] = [(await shorter.given.user()).key, (await longer.given.user()).key];

    const statuses = await Promise.all(
      [app, shorter, longer].map((instance) => Promise.all([statusOf(instance, short), statusOf(instance, long)])),
    );

    expect(statuses).toEqual([
      [200, 200],
      [200, 401],
      [401, 200],
    ]);
  });

  it('is the limit of what costs SQL: any other text is refused without', async () => {
    const app = await start('acme_,acme_live_');
    const authentication = app.nest.get(AuthenticationService);
    const others = fc
      .stringMatching(/^[a-z][a-z0-9]{0,11}(_[a-z0-9]{1,8})?_$/)
      .filter((prefix) => !/^acme_(live_)?$/.test(prefix));
    const texts = fc.oneof(
      fc.string(),
      fc.stringMatching(/^acme_[0-9A-Za-z]{49}$/),
      fc.stringMatching(/^acme_(live_)?[0-9A-Za-z]{47,51}$/),
      others.map(generateApiKey),
      fc.constantFrom('acme_', 'acme_live_', 'ua_').map((prefix) => `${generateApiKey(prefix)}x`),
    );

    const statements = await app.statementsDuring(() =>
      fc.assert(
        fc.asyncProperty(texts, async (text) => {
          await expect(authentication.authenticate(text)).rejects.toThrow('The API key is not valid');
        }),
      ),
    );

    expect(statements).toBe(0);
  });

  describe('POST /v1/leaked-keys', () => {
    it('200 knows keys with every listed prefix, superseded secrets too; others are unknown, without SQL', async () => {
      const before = await start('ua_');
      const [ada, bob] = [await before.given.user(), await before.given.user()];
      const app = await start('acme_,ua_');
      const admin = await app.given.user({ isAdmin: true });
      const next = await rotate(app, ada);
      const eve = await (await start('eve_')).given.user();
      const report = async (...keys: string[]) =>
        ((await app.as(admin).post('/v1/leaked-keys').send({ keys })).body as { results: object[] }).results;

      const unlisted = app.statementsDuring(async () => {
        expect(await report(eve.key, generateApiKey('acme_eu_'))).toEqual(
          Array(2).fill({ outcome: 'unknown', prefix: null, user_id: null, api_key_name: null }),
        );
      });
      expect(await unlisted).toBe(1); // the lookup of the administrator's key
      expect(await report(ada.key, bob.key)).toEqual([
        { outcome: 'revoked', prefix: ada.key.slice(0, 8), user_id: ada.id, api_key_name: FIRST_KEY_NAME },
        { outcome: 'revoked', prefix: bob.key.slice(0, 8), user_id: bob.id, api_key_name: FIRST_KEY_NAME },
      ]);
      expect(await report(next)).toEqual([
        { outcome: 'already_ended', prefix: next.slice(0, 10), user_id: ada.id, api_key_name: FIRST_KEY_NAME },
      ]);
    });
  });

  it('is checked by POST /v1/verify: a key with a prefix that is not listed is malformed, and costs no SQL', async () => {
    const before = await start('ua_');
    const [admin, ada] = [await before.given.user({ isAdmin: true }), await before.given.user()];
    const app = await start('acme_,ua_');
    const eve = await (await start('eve_')).given.user();
    const verify = async (key: string) =>
      (await app.as(admin).post('/v1/verify').send({ key })).body as { allowed: boolean; reason: string | null };

    expect(await verify(ada.key)).toMatchObject({ allowed: true });
    expect(await verify((await app.given.user()).key)).toMatchObject({ allowed: true });
    const statements = await app.statementsDuring(async () => {
      expect(await verify(eve.key)).toMatchObject({ allowed: false, reason: 'malformed' });
    });
    expect(statements).toBe(1); // the lookup of the administrator's key
  });

  it('is hidden with the rest of a key in messages and request ids, also when the key is mistyped or not listed', async () => {
    const app = await start('acme_,acme_live_');
    const ada = await app.given.user();
    const patch = (name: string, id = 'mine') =>
      app
        .as(ada)
        .patch('/v1/users/me')
        .set('x-request-id', id)
        .send({ [name]: 1 });
    const mistyped = `${generateApiKey('acme_live_').slice(0, -6)}000000`;

    for (const key of [ada.key, mistyped, generateApiKey('other_')]) {
      const { body, headers } = await patch(key, key);
      const message = `The property "${prefixOf(key)}[redacted]" is not known here`;
      expect(body).toEqual({ status: 400, message });
      expect(headers['x-request-id']).not.toContain(key);
    }
  });

  it('is in the examples and patterns of the document and of the page', async () => {
    const app = await start('acme_,acme_live_');

    const document = await app.anyone().get('/docs-json');
    const page = await app.anyone().get('/docs');

    const { components } = document.body as OpenAPIObject;
    const { ApiKeyWithSecretResponse: withSecret, LeakedKeys } = components?.schemas as Record<
      string,
      { properties: Record<string, { pattern: string; example: unknown }> }
    >;
    const { secret, prefix } = withSecret?.properties ?? {};
    expect(secret?.pattern).toBe('^(acme_|acme_live_)[0-9A-Za-z]{49}$');
    expect(secret?.example).toMatch(/^acme_5GhT2[0-9A-Za-z]{44}$/);
    expect(prefix?.example).toBe('acme_5GhT2');
    expect(LeakedKeys?.properties.keys?.example).toEqual([secret?.example]);
    for (const key of [generateApiKey('acme_'), generateApiKey('acme_live_')]) {
      expect(key).toMatch(new RegExp(secret?.pattern ?? ''));
      expect(key.slice(0, -44)).toMatch(new RegExp(prefix?.pattern ?? ''));
    }
    const { description = '' } = (components?.securitySchemes?.ApiKeyAuth ?? {}) as { description?: string };
    expect(description).toContain('`acme_`, 43 random letters and digits');
    expect(description).toContain('`^(acme_|acme_live_)[0-9A-Za-z]{49}$`');
    for (const { text } of [document, page]) expect(text).not.toMatch(/\bua_/);
  });

  describe('on the command line', () => {
    let programs: Programs;
    beforeAll(async () => {
      programs = await Programs.inEmptyDirectory();
    });
    afterAll(async () => {
      await programs.dispose();
    });

    it('is that of new keys, also for a first administrator while BOOTSTRAP_ADMIN_KEY is not valid', async () => {
      const env = { DATABASE_URL: database.url, API_KEY_PREFIX: 'acme_,ua_' };
      const create = ['users', 'create', '--email', 'ada@example.com', '--name', 'Ada', '--json'];

      const generated = await programs.cli(['keys', 'generate'], { ...env, BOOTSTRAP_ADMIN_KEY: 'mine' });
      const created = await programs.cli(create, env);

      expect(generated).toMatchObject({ code: 0, stdout: expect.stringMatching(/^acme_[0-9A-Za-z]{49}\n$/) });
      expect(JSON.parse(created.stdout)).toMatchObject({ api_key: expect.stringMatching(/^acme_[0-9A-Za-z]{49}$/) });
    });

    it.each(['acme', 'acme_,', 'acme_,acme_'])(
      'is refused where it is %s, before the database is asked',
      async (value) => {
        const env = { DATABASE_URL: 'postgresql://127.0.0.1:1/none', API_KEY_PREFIX: value };

        for (const words of [
          ['keys', 'generate'],
          ['users', 'list'],
        ]) {
          const { code, stdout, stderr } = await programs.cli(words, env);
          expect([code, stdout]).toEqual([1, '']);
          expect(stderr).toMatch(/^users-api: The environment is not valid:\n {2}API_KEY_PREFIX must (not )?list /);
        }
      },
    );
  });

  it('is stored with five more characters, of whatever length', async () => {
    const app = await start('abcdefghijkl_mnopqrst_');
    const { id, key } = await app.given.user();

    const stored = await app.nest.get(DataSource).query('SELECT prefix FROM api_keys WHERE user_id = $1', [id]);

    expect(stored).toEqual([{ prefix: key.slice(0, 27) }]);
    expect(await statusOf(app, key)).toBe(200);
  });
});
