import { randomUUID } from 'node:crypto';
import type { OpenAPIObject } from '@nestjs/swagger';
import { generateApiKey } from '../src/common/api-key-format.js';
import { OWN_SCOPES, type OwnScope } from '../src/api-keys/scopes.js';
import { ApiKeysService } from '../src/index.js';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

/**
 * What each kind of caller is answered: without a key, with any key, with an administrator's; and
 * the scope that a key with scopes needs, or null for none.
 */
type Answers = readonly [nobody: number, user: number, admin: number, scope: OwnScope | null];

const ANYONE: Answers = [200, 200, 200, null];

/**
 * Who may do what. `{user_id}` and `{key_name}` stand for things of somebody else's, and
 * `{hold_id}` for nothing. A route that is missing here fails the test, and so does one that is
 * only here.
 */
const TABLE: Readonly<Record<string, Answers>> = {
  'GET /v1/users/me': [401, 200, 200, 'ua:profile:read'],
  'PATCH /v1/users/me': [401, 200, 200, 'ua:profile:write'],
  'POST /v1/api-keys': [401, 201, 201, 'ua:keys:write'],
  'GET /v1/api-keys': [401, 200, 200, 'ua:keys:read'],
  'GET /v1/api-keys/current': [401, 200, 200, null],
  'DELETE /v1/api-keys/current': [401, 200, 200, null],
  'GET /v1/api-keys/{key_name}': [401, 404, 404, 'ua:keys:read'],
  'PATCH /v1/api-keys/{key_name}': [401, 404, 404, 'ua:keys:write'],
  'DELETE /v1/api-keys/{key_name}': [401, 404, 404, 'ua:keys:write'],
  'POST /v1/api-keys/{key_name}/rotate': [401, 404, 404, 'ua:keys:write'],
  'POST /v1/users': [401, 403, 201, 'ua:users:write'],
  'GET /v1/users': [401, 403, 200, 'ua:users:read'],
  'GET /v1/users/{user_id}': [401, 403, 200, 'ua:users:read'],
  'PATCH /v1/users/{user_id}': [401, 403, 200, 'ua:users:write'],
  'DELETE /v1/users/{user_id}': [401, 403, 204, 'ua:users:write'],
  'POST /v1/users/{user_id}/api-keys': [401, 403, 201, 'ua:users:keys:write'],
  'GET /v1/users/{user_id}/api-keys': [401, 403, 200, 'ua:users:keys:read'],
  'GET /v1/users/{user_id}/api-keys/{key_name}': [401, 403, 404, 'ua:users:keys:read'],
  'PATCH /v1/users/{user_id}/api-keys/{key_name}': [401, 403, 404, 'ua:users:keys:write'],
  'DELETE /v1/users/{user_id}/api-keys/{key_name}': [401, 403, 404, 'ua:users:keys:write'],
  'POST /v1/users/{user_id}/api-keys/{key_name}/rotate': [401, 403, 404, 'ua:users:keys:write'],
  'POST /v1/leaked-keys': [401, 403, 200, 'ua:users:keys:write'],
  'POST /v1/verify': [401, 403, 200, 'ua:verify'],
  'GET /v1/forward-auth': [401, 200, 200, null],
  'GET /v1/audit-events': [401, 403, 200, 'ua:audit:read'],
  'GET /v1/billing/credit-history': [401, 200, 200, 'ua:credits:read'],
  'POST /v1/billing/credits-add': [401, 403, 200, 'ua:credits:add'],
  'POST /v1/billing/credits-deduct': [401, 403, 402, 'ua:credits:spend'],
  'GET /v1/billing/balance': [401, 200, 200, 'ua:credits:read'],
  'GET /v1/users/{user_id}/balance': [401, 403, 200, 'ua:users:read'],
  'POST /v1/billing/holds': [401, 403, 402, 'ua:credits:spend'],
  'GET /v1/billing/holds': [401, 403, 200, 'ua:credits:spend'],
  'GET /v1/billing/holds/{hold_id}': [401, 403, 404, 'ua:credits:spend'],
  'POST /v1/billing/holds/{hold_id}/capture': [401, 403, 404, 'ua:credits:spend'],
  'DELETE /v1/billing/holds/{hold_id}': [401, 403, 404, 'ua:credits:spend'],
  'GET /livez': ANYONE,
  'GET /readyz': ANYONE,
};

/** Bodies that pass, so that a refusal is about who calls. */
const BODIES: Readonly<Record<string, (other: GivenUser) => object>> = {
  'POST /v1/api-keys': () => ({ name: randomUUID(), expires_at: '2100-01-01T00:00:00Z' }),
  'POST /v1/api-keys/{key_name}/rotate': () => ({ expires_at: '2100-01-01T00:00:00Z' }),
  'POST /v1/users/{user_id}/api-keys/{key_name}/rotate': () => ({ expires_at: '2100-01-01T00:00:00Z' }),
  'POST /v1/leaked-keys': () => ({ keys: ['nothing'] }),
  'POST /v1/verify': ({ key }) => ({ key, scopes: ['jobs:write'] }),
  'POST /v1/billing/credits-add': ({ id }) => ({ user_id: id, amount: 1, transaction_id: randomUUID() }),
  'POST /v1/billing/credits-deduct': ({ id }) => ({ user_id: id, amount: 1, transaction_id: randomUUID() }),
  'POST /v1/billing/holds': ({ id }) => ({ user_id: id, amount: 1, transaction_id: randomUUID() }),
  'POST /v1/billing/holds/{hold_id}/capture': () => ({ amount: 1 }),
  'POST /v1/users': () => ({ name: 'New', email: `${randomUUID()}@example.com` }),
  'POST /v1/users/{user_id}/api-keys': () => ({ name: randomUUID(), expires_at: '2100-01-01T00:00:00Z' }),
};

const pathOf = (template: string, user: GivenUser, keyName: string): string =>
  template.replace('{user_id}', user.id).replace('{key_name}', keyName).replace('{hold_id}', randomUUID());

describe('Who may do what', () => {
  const app = useTestApp();

  it('is said in the table for every operation of the document, and for no other', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;

    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );

    expect(documented.sort()).toEqual(Object.keys(TABLE).sort());
  });

  it('is documented: just the operations that answer 401 name the key, and just those that need a scope list 403', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;

    for (const [route, [nobody, , , scope]] of Object.entries(TABLE)) {
      const [method = '', path = ''] = route.split(' ');
      const operation = paths[path]?.[method.toLowerCase() as 'get'];
      expect([route, operation?.security]).toEqual([route, nobody === 401 ? [{ ApiKeyAuth: [] }] : undefined]);
      expect([route, '403' in (operation?.responses ?? {})]).toEqual([
        route,
        scope !== null || route === 'GET /v1/forward-auth', // for the scopes that the proxy names
      ]);
      expect([route, '401' in (operation?.responses ?? {})]).toEqual([route, nobody === 401]);
    }
  });

  it.each(Object.entries(TABLE))(
    '%s answers nobody, a user and an administrator with %j',
    async (route, [nobody, user, admin]) => {
      const other = await app.given.user();
      const [method = '', template = ''] = route.split(' ');
      const path = pathOf(template, other, 'first-key-of-another');
      const call = (agent: ReturnType<typeof app.anyone>) => {
        const request = agent[method.toLowerCase() as 'get'](path);
        return ['POST', 'PATCH'].includes(method) ? request.send(BODIES[route]?.(other) ?? {}) : request;
      };
      const caller: GivenUser = await app.given.user();
      const administrator: GivenUser = await app.given.user({ isAdmin: true });

      const answers = [
        await call(app.anyone()),
        await call(app.anyone().set('x-api-key', generateApiKey())),
        await call(app.as(caller)),
        await call(app.as(administrator)),
      ];

      expect(answers.map(({ status }) => status)).toEqual([nobody, nobody, user, admin]);
      const failures = answers.filter(({ status }) => status >= 400);
      expect(failures.map(({ body }) => body as unknown)).toEqual(
        failures.map(({ status }) => ({ status, message: expect.any(String) })),
      );
    },
  );

  it.each(Object.entries(TABLE).filter(([, [nobody]]) => nobody === 401))(
    '%s with the scopes of a key: %j',
    async (route, [, , admin, scope]) => {
      const administrator = await app.given.user({ isAdmin: true });
      const other = await app.given.user();
      const [method = '', template = ''] = route.split(' ');
      const path = pathOf(template, other, 'first-key-of-another');
      const callWith = async (scopes: readonly string[]) => {
        const key = { userId: administrator.id, name: randomUUID(), expiresAt: new Date('2101-01-01'), scopes };
        const { secret } = await app.nest.get(ApiKeysService).create(key);
        const agent = app.anyone().set('x-api-key', secret);
        const request = agent[method.toLowerCase() as 'get'](path);
        return ['POST', 'PATCH'].includes(method)
          ? request.send({ ...BODIES[route]?.(other), ...(route.endsWith('/api-keys') && { scopes: [] }) })
          : request;
      };
      const others = Object.keys(OWN_SCOPES).filter((own) => own !== scope);

      const insufficient = scope === null ? [] : [others, [], ['jobs:write']];
      const refusal = {
        status: 403,
        message: `The key does not have the scope ${String(scope)}, which this needs`,
      };

      expect((await callWith(scope === null ? [] : [scope])).status).toBe(admin);
      for (const scopes of insufficient) expect((await callWith(scopes)).body).toEqual(refusal);
    },
  );

  it('403 for the history of another user without the scope for other users, after the fields', async () => {
    const administrator = await app.given.user({ isAdmin: true });
    const other = await app.given.user();
    const history = async (scopes: readonly string[], query: string) => {
      const key = { userId: administrator.id, name: randomUUID(), expiresAt: new Date('2101-01-01'), scopes };
      const { secret } = await app.nest.get(ApiKeysService).create(key);
      return (await app.anyone().set('x-api-key', secret).get(`/v1/billing/credit-history?${query}`)).status;
    };

    expect(await history(['ua:credits:read'], `user_id=${other.id}`)).toBe(403);
    expect(await history(['ua:credits:read'], 'user_id=nonsense')).toBe(400);
    expect(await history(['ua:credits:read', 'ua:users:read'], `user_id=${other.id}`)).toBe(200);
    expect(await history(['ua:users:read'], `user_id=${other.id}`)).toBe(403);
    expect(await history(['ua:credits:read'], '')).toBe(200);
  });

  it.each(Object.keys(TABLE).filter((operation) => /^(POST|PATCH)/.test(operation)))(
    'is asked before the body: who may not do it learns nothing about what it sends: %s',
    async (operation) => {
      const [method = '', template = ''] = operation.split(' ');
      const caller = await app.given.user();
      const path = pathOf(template, caller, 'laptop');
      const [nobody, user] = TABLE[operation] ?? [];

      for (const body of ['{', '[]', '{"emial":1}', 'x'.repeat(20_000)]) {
        const send = (agent: ReturnType<typeof app.anyone>) =>
          agent[method.toLowerCase() as 'post'](path).set('Content-Type', 'application/json').send(body);
        const refused = user === 403 ? [await send(app.as(caller))] : [];

        expect((await send(app.anyone())).status).toBe(nobody);
        expect(refused.map((answer) => answer.body as unknown)).toEqual(
          refused.map(() => ({ status: 403, message: 'Only administrators may do this' })),
        );
      }
    },
  );
});
