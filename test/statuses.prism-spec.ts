import { randomUUID } from 'node:crypto';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Pool } from 'pg';
import type { Response } from 'supertest';
import { DataSource } from 'typeorm';
import { digestOf } from '../src/api-keys/api-key.secret.js';
import { ApiKeysService, CreditsService } from '../src/index.js';
import { SearchUnavailableError } from '../src/users/users.errors.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

const EXPIRES = { expires_at: '2100-01-01T00:00:00Z' };
/** Refuses a scope that its own query names, and no key for its scopes alone. */
const FORWARD_AUTH = 'GET /v1/forward-auth';
const LARGE = { name: 'x'.repeat(20_000) };

interface Call {
  /** By default the administrator; null for nobody. */
  readonly as?: GivenUser | null;
  /** What stands in the path; by default the other user, the key `laptop`, and no hold. */
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether 503 is what is expected, and not repeated. */
  readonly once?: boolean;
}

describe('Every operation, with every status that the document lists', () => {
  let database: TestDatabase;
  let app: TestApp;
  let limited: TestApp;
  let document: OpenAPIObject;
  let admin: GivenUser;
  let user: GivenUser;
  let other: GivenUser;
  const seen = new Set<string>();
  const messages = new Map<string, Set<string>>();

  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { RATE_LIMIT_PER_MINUTE: '0' });
    limited = await startTestApp(database.url, { RATE_LIMIT_PER_MINUTE: '1' });
    document = (await app.anyone().get('/docs-json')).body as OpenAPIObject;
    [admin, user, other] = [
      await app.given.user({ isAdmin: true }),
      await app.given.user(),
      await app.given.user({ email: 'ada@example.com' }),
    ];
    await app.given.sql(
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT id, 'laptop', '2100-01-01', 'ua_00000', sha256(id::text::bytea) FROM users`,
    );
  }, 120_000);

  afterAll(async () => {
    await limited.close();
    await app.close(); // fails where Prism saw an answer that is not as the document says
  });

  const operations = (): string[] =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, operation]) =>
        typeof operation === 'object' && 'responses' in operation ? [`${method.toUpperCase()} ${path}`] : [],
      ),
    );
  const statusesOf = (operation: string): string[] => {
    const [method = '', path = ''] = operation.split(' ');
    const methods = document.paths[path] as unknown as Record<string, { responses: object }>;
    return Object.keys(methods[method.toLowerCase()]?.responses ?? {});
  };
  /** The messages that the document has as examples. */
  const messagesOf = (operation: string, status: string): string[] => {
    const [method = '', path = ''] = operation.split(' ');
    const methods = document.paths[path] as unknown as Record<string, { responses: Record<string, Failure> }>;
    const given = methods[method.toLowerCase()]?.responses[status];
    const shared = document.components?.responses as Record<string, Failure> | undefined;
    const response = given?.$ref ? shared?.[given.$ref.split('/').at(-1) ?? ''] : given;
    const examples = response?.content?.['application/json'].examples ?? {};
    return Object.values(examples).map(({ value }) => masked(value.message));
  };
  const lists = (operation: string, status: number): boolean => statusesOf(operation).includes(String(status));

  async function call(
    operation: string,
    { as = admin, path, query, body, headers, once = false }: Call,
    on = app,
  ): Promise<Response> {
    const [method = '', template = ''] = operation.split(' ');
    const parameters = { user_id: other.id, key_name: 'laptop', hold_id: randomUUID(), ...path };
    const url = template.replace(/\{(\w+)\}/g, (_, name: string) => parameters[name as keyof typeof parameters]);
    const agent = as === null ? on.anyone() : on.as(as);
    const request = agent[method.toLowerCase() as 'get'](url).query(query ?? {});
    const sent = { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers };
    if (once) request.retry(0);
    const answer = await request.set(sent).send(body === undefined ? undefined : JSON.stringify(body));
    seen.add(`${operation} ${String(answer.status)}`);
    const { message } = answer.body as { message?: string };
    if (message !== undefined) {
      const at = `${operation} ${String(answer.status)}`;
      messages.set(at, (messages.get(at) ?? new Set()).add(masked(message)));
    }
    return answer;
  }
  const expectStatus = async (status: number, operation: string, options: Call = {}, on = app): Promise<void> => {
    const answer = await call(operation, options, on);
    expect([operation, answer.status, answer.body]).toEqual([operation, status, answer.body]);
  };
  /** The administrator with another key; with an overlap, its secret is superseded. */
  const withScopes = async (scopes: readonly string[] | null, overlapSeconds = 0): Promise<GivenUser> => {
    const name = randomUUID();
    const expiresAt = new Date(EXPIRES.expires_at);
    const keys = app.nest.get(ApiKeysService);
    const { secret } = await keys.create({ userId: admin.id, name, expiresAt, scopes });
    if (overlapSeconds > 0) await keys.rotate(admin.id, name, { expiresAt, overlapSeconds });
    return { ...admin, key: secret };
  };
  const bodyOf = (operation: string): Call => (lists(operation, 415) ? { body: {} } : {});
  const make = (name: string): object => ({ name, ...EXPIRES });
  const credit = (amount: number, transaction_id: string = randomUUID(), user_id = other.id): object => ({
    user_id,
    amount,
    transaction_id,
  });

  const charge = (amount: number, transaction_id: string): object => ({ amount, transaction_id });

  it('refuses whoever it does not know, or may not do it, and requests that are none', async () => {
    for (const operation of operations()) {
      if (lists(operation, 401)) await expectStatus(401, operation, { as: null });
      if (lists(operation, 401)) await expectStatus(401, operation, { as: { ...user, key: 'made-up' } });
      if (operation.includes('{'))
        await expectStatus(404, operation, { path: { user_id: 'x', key_name: 'X', hold_id: 'x' } });
      if (lists(operation, 400) && !lists(operation, 415)) {
        await expectStatus(400, operation, { query: { limit: '5' } });
        await expectStatus(400, operation, { query: { page: '0' } });
      }
      if (messagesOf(operation, '403').includes('Only administrators may do this'))
        await expectStatus(403, operation, { as: user, query: { user_id: other.id } });
      if (lists(operation, 403) && operation !== FORWARD_AUTH)
        await expectStatus(403, operation, { as: await withScopes([]) });
      if (lists(operation, 415))
        await expectStatus(415, operation, { body: {}, headers: { 'content-type': 'text/plain' } });
      if (lists(operation, 413)) await expectStatus(413, operation, { body: LARGE });
      if (lists(operation, 413)) await expectStatus(400, operation, { body: [] });
      if (lists(operation, 413)) await expectStatus(400, operation, { body: { nickname: 'Ada' } });
    }
  });

  it('403 for what its scopes do not allow a key', async () => {
    const keys = await withScopes(['ua:keys:write', 'ua:users:keys:write']);
    const superseded = await withScopes(null, 3600);
    for (const as of [keys, superseded]) {
      await expectStatus(403, 'POST /v1/api-keys', { as, body: { ...make('phone'), scopes: null } });
      await expectStatus(403, 'POST /v1/users/{user_id}/api-keys', { as, body: { ...make('phone'), scopes: null } });
      await expectStatus(403, 'PATCH /v1/api-keys/{key_name}', { as, body: { name: 'laptop' } });
      await expectStatus(403, 'POST /v1/api-keys/{key_name}/rotate', { as, body: EXPIRES });
      await expectStatus(403, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { as, body: { name: 'laptop' } });
      await expectStatus(403, 'POST /v1/users/{user_id}/api-keys/{key_name}/rotate', { as, body: EXPIRES });
    }
    await expectStatus(400, 'POST /v1/users/{user_id}/api-keys', { as: keys, body: make('phone') });
    const body = { ...make('phone'), rate_limit_per_minute: 2 };
    await expectStatus(403, 'POST /v1/api-keys', { as: user, body });
    await expectStatus(403, 'PATCH /v1/api-keys/{key_name}', {
      as: user,
      path: { key_name: 'first-key' },
      body: { rate_limit_per_minute: 2 },
    });
    const slow = await withScopes(null);
    await app.given.sql('UPDATE api_keys SET rate_limit_per_minute = 1000 WHERE secret_digest = $1', [
      digestOf(slow.key),
    ]);
    const higher = { ...make('phone'), rate_limit_per_minute: 1001 };
    await expectStatus(403, 'POST /v1/api-keys', { as: slow, body: higher });
    await expectStatus(403, 'POST /v1/users/{user_id}/api-keys', { as: slow, body: higher });
    const activation = { as: await withScopes(['ua:users:write']), body: { status: 'ACTIVE' } };
    await expectStatus(403, 'PATCH /v1/users/{user_id}', activation);
    await expectStatus(403, 'PATCH /v1/users/{user_id}', { ...activation, body: { is_admin: true } });
    const charged = { key: user.key, charge: charge(1, 'job') };
    await expectStatus(403, 'POST /v1/verify', { as: await withScopes(['ua:verify']), body: charged });
    const held = { key: user.key, hold: charge(1, 'job') };
    await expectStatus(403, 'POST /v1/verify', { as: await withScopes(['ua:verify']), body: held });
    await expectStatus(403, 'GET /v1/forward-auth', { as: await withScopes([]), query: { scope: 'jobs:write' } });
    const history = { as: await withScopes(['ua:credits:read']), query: { user_id: other.id } };
    await expectStatus(403, 'GET /v1/billing/credit-history', history);
  });

  it('succeeds, is not modified, is not found, or is in conflict', async () => {
    const revoked = { key_name: 'revoked' };
    const full = await app.given.user();
    await app.given.sql(
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest)
       SELECT $1, 'full-' || n, '2100-01-01', 'ua_00000', sha256(n::text::bytea) FROM generate_series(1, 99) AS n`,
      [full.id],
    );
    const past = { name: 'past', expires_at: '2020-01-01T00:00:00Z' };
    const nobody = { user_id: randomUUID() };
    const nothing = { key_name: 'nothing' };
    const customer = await app.given.user();
    const holds = app.nest.get(CreditsService);
    await holds.add({ userId: customer.id, amount: 10, transactionId: 'gift' });
    const held = async (transactionId: string) => ({
      hold_id: (await holds.hold({ userId: customer.id, amount: 2, transactionId })).hold.id,
    });
    const [first, second] = [await held('first'), await held('second')];
    const hold = (amount: number, transaction_id: string) => credit(amount, transaction_id, customer.id);
    const steps: [number, string, Call?][] = [
      [200, 'GET /livez', { as: null }],
      [200, 'GET /readyz', { as: null }],
      [200, 'GET /v1/users/me'],
      [304, 'GET /v1/users/me', { headers: { 'if-none-match': `"${admin.id}.1"` } }],
      [400, 'PATCH /v1/users/me', { body: { name: 7 } }],
      [412, 'PATCH /v1/users/me', { body: { name: 'Grace' }, headers: { 'if-match': '"other"' } }],
      [412, 'PATCH /v1/users/me', { body: { name: 'Grace' }, headers: { 'if-none-match': '*' } }],
      [200, 'PATCH /v1/users/me', { body: { name: 'Grace' } }],
      [400, 'POST /v1/users', { body: { name: 7, email: 'new@example.com' } }],
      [400, 'POST /v1/users', { body: { name: 'New', email: 'new' } }],
      [201, 'POST /v1/users', { body: { name: 'New', email: 'new@example.com' } }],
      [400, 'POST /v1/users', { body: { name: 'New', email: 'new@example.com', rate_limit_per_minute: 0 } }],
      [409, 'POST /v1/users', { body: { name: 'New', email: 'NEW@example.com' } }],
      [400, 'GET /v1/users', { query: { status: 'GONE' } }],
      [400, 'GET /v1/users', { query: { email: 'ada' } }],
      [400, 'GET /v1/users', { query: { api_key_prefix: 'ua_' } }],
      [400, 'GET /v1/users', { query: { search: 'ab' } }],
      [400, 'GET /v1/users', { query: { created_after: 'soon' } }],
      [
        400,
        'GET /v1/users',
        { query: { created_after: '2026-02-01T00:00:00Z', created_before: '2026-01-01T00:00:00Z' } },
      ],
      [400, 'GET /v1/users', { query: { is_admin: 'yes' } }],
      [200, 'GET /v1/users', { query: { search: 'Grace', is_admin: 'false' } }],
      [200, 'GET /v1/users'],
      [200, 'GET /v1/users/{user_id}'],
      [304, 'GET /v1/users/{user_id}', { headers: { 'if-none-match': `"${other.id}.1"` } }],
      [404, 'GET /v1/users/{user_id}', { path: nobody }],
      [404, 'PATCH /v1/users/{user_id}', { path: nobody, body: { name: 'New' } }],
      [400, 'PATCH /v1/users/{user_id}', { body: { name: 7 } }],
      [400, 'PATCH /v1/users/{user_id}', { body: { status: 'GONE' } }],
      [400, 'PATCH /v1/users/{user_id}', { body: { rate_limit_per_minute: 0 } }],
      [412, 'PATCH /v1/users/{user_id}', { body: { name: 'New' }, headers: { 'if-match': '"other"' } }],
      [412, 'PATCH /v1/users/{user_id}', { body: { name: 'New' }, headers: { 'if-none-match': '*' } }],
      [400, 'PATCH /v1/users/{user_id}', { body: { email: 'nobody@localhost' } }],
      [400, 'PATCH /v1/users/{user_id}', { body: { is_admin: 'no' } }],
      [409, 'PATCH /v1/users/{user_id}', { path: { user_id: admin.id }, body: { status: 'INACTIVE' } }],
      [409, 'PATCH /v1/users/{user_id}', { body: { email: admin.row.email } }],
      [200, 'PATCH /v1/users/{user_id}', { body: { name: 'New' } }],
      [404, 'POST /v1/users/{user_id}/api-keys', { path: nobody, body: make('phone') }],
      [400, 'POST /v1/users/{user_id}/api-keys', { body: make('Not a name') }],
      [400, 'POST /v1/users/{user_id}/api-keys', { body: past }],
      [400, 'POST /v1/users/{user_id}/api-keys', { body: { ...make('phone'), rate_limit_per_minute: -1 } }],
      [409, 'POST /v1/users/{user_id}/api-keys', { path: { user_id: full.id }, body: make('phone') }],
      [201, 'POST /v1/users/{user_id}/api-keys', { body: make('phone') }],
      [409, 'POST /v1/users/{user_id}/api-keys', { body: make('phone') }],
      [200, 'GET /v1/users/{user_id}/api-keys'],
      [404, 'GET /v1/users/{user_id}/api-keys', { path: nobody }],
      [400, 'GET /v1/users/{user_id}/api-keys', { query: { expires_before: 'soon' } }],
      [201, 'POST /v1/users/{user_id}/api-keys', { body: make('revoked') }],
      [200, 'GET /v1/users/{user_id}/api-keys/{key_name}'],
      [404, 'GET /v1/users/{user_id}/api-keys/{key_name}', { path: nothing }],
      [404, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { path: nothing, body: { name: 'new' } }],
      [400, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { body: { name: 'Not a name' } }],
      [400, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { body: { expires_at: past.expires_at } }],
      [400, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { body: { rate_limit_per_minute: -1 } }],
      [409, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { body: { name: 'revoked' } }],
      [200, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { body: { name: 'laptop' } }],
      [404, 'DELETE /v1/users/{user_id}/api-keys/{key_name}', { path: nothing }],
      [200, 'DELETE /v1/users/{user_id}/api-keys/{key_name}', { path: revoked }],
      [409, 'PATCH /v1/users/{user_id}/api-keys/{key_name}', { path: revoked, body: EXPIRES }],
      [400, 'POST /v1/users/{user_id}/api-keys/{key_name}/rotate', { body: { expires_at: past.expires_at } }],
      [404, 'POST /v1/users/{user_id}/api-keys/{key_name}/rotate', { path: nothing, body: EXPIRES }],
      [409, 'POST /v1/users/{user_id}/api-keys/{key_name}/rotate', { path: revoked, body: EXPIRES }],
      [201, 'POST /v1/users/{user_id}/api-keys/{key_name}/rotate', { body: EXPIRES }],
      [400, 'POST /v1/api-keys', { body: make('Not a name') }],
      [400, 'POST /v1/api-keys', { body: past }],
      [400, 'POST /v1/api-keys', { body: { ...make('phone'), rate_limit_per_minute: -1 } }],
      [409, 'POST /v1/api-keys', { as: full, body: make('phone') }],
      [201, 'POST /v1/api-keys', { body: make('revoked') }],
      [409, 'POST /v1/api-keys', { body: make('laptop') }],
      [400, 'GET /v1/api-keys', { query: { expires_before: 'soon' } }],
      [200, 'GET /v1/api-keys'],
      [200, 'GET /v1/api-keys/current'],
      [200, 'GET /v1/api-keys/{key_name}'],
      [404, 'GET /v1/api-keys/{key_name}', { path: nothing }],
      [404, 'PATCH /v1/api-keys/{key_name}', { path: nothing, body: { name: 'new' } }],
      [400, 'PATCH /v1/api-keys/{key_name}', { body: { name: 'Not a name' } }],
      [400, 'PATCH /v1/api-keys/{key_name}', { body: { expires_at: past.expires_at } }],
      [400, 'PATCH /v1/api-keys/{key_name}', { body: { rate_limit_per_minute: -1 } }],
      [409, 'PATCH /v1/api-keys/{key_name}', { body: { name: 'revoked' } }],
      [200, 'PATCH /v1/api-keys/{key_name}', { body: { name: 'laptop' } }],
      [404, 'DELETE /v1/api-keys/{key_name}', { path: nothing }],
      [200, 'DELETE /v1/api-keys/{key_name}', { path: revoked }],
      [409, 'PATCH /v1/api-keys/{key_name}', { path: revoked, body: EXPIRES }],
      [400, 'POST /v1/api-keys/{key_name}/rotate', { body: { expires_at: past.expires_at } }],
      [404, 'POST /v1/api-keys/{key_name}/rotate', { path: nothing, body: EXPIRES }],
      [409, 'POST /v1/api-keys/{key_name}/rotate', { path: revoked, body: EXPIRES }],
      [201, 'POST /v1/api-keys/{key_name}/rotate', { body: EXPIRES }],
      [400, 'POST /v1/leaked-keys', { body: { keys: [] } }],
      [200, 'POST /v1/leaked-keys', { body: { keys: ['nothing'] } }],
      [400, 'POST /v1/verify', { body: { key: 7 } }],
      [400, 'POST /v1/verify', { body: { key: 'k', scopes: ['A'] } }],
      [200, 'POST /v1/verify', { body: { key: 'k' } }],
      [200, 'POST /v1/verify', { body: { key: user.key, charge: charge(1, 'job') } }],
      [200, 'GET /v1/forward-auth'],
      [403, 'GET /v1/forward-auth', { query: { scope: 'A' } }],
      [400, 'POST /v1/billing/credits-add', { body: credit(0) }],
      [400, 'POST /v1/billing/credits-add', { body: { ...credit(1), transaction_type: 'lower' } }],
      [404, 'POST /v1/billing/credits-add', { body: credit(5, 'one', randomUUID()) }],
      [200, 'POST /v1/billing/credits-add', { body: credit(5, 'one') }],
      [409, 'POST /v1/billing/credits-add', { body: credit(6, 'one') }],
      [409, 'POST /v1/billing/credits-add', { body: credit(Number.MAX_SAFE_INTEGER) }],
      [400, 'POST /v1/billing/credits-deduct', { body: credit(0) }],
      [400, 'POST /v1/billing/credits-deduct', { body: { ...credit(1), transaction_type: 'lower' } }],
      [404, 'POST /v1/billing/credits-deduct', { body: credit(1, 'two', randomUUID()) }],
      [402, 'POST /v1/billing/credits-deduct', { body: credit(6) }],
      [200, 'POST /v1/billing/credits-deduct', { body: credit(1, 'two') }],
      [409, 'POST /v1/billing/credits-deduct', { body: credit(2, 'two') }],
      [200, 'POST /v1/verify', { body: { key: other.key, charge: charge(1, 'three') } }],
      [409, 'POST /v1/verify', { body: { key: other.key, charge: charge(1, 'two') } }],
      [400, 'GET /v1/billing/credit-history', { query: { start_date: 'yesterday' } }],
      [400, 'GET /v1/billing/credit-history', { query: { transaction_id: '' } }],
      [400, 'GET /v1/billing/credit-history', { query: { transaction_type: 'lower' } }],
      [404, 'GET /v1/billing/credit-history', { query: nobody }],
      [200, 'GET /v1/billing/credit-history', { query: { user_id: other.id } }],
      [200, 'GET /v1/billing/balance'],
      [200, 'GET /v1/users/{user_id}/balance'],
      [404, 'GET /v1/users/{user_id}/balance', { path: nobody }],
      [400, 'POST /v1/billing/holds', { body: hold(0, 'third') }],
      [400, 'POST /v1/billing/holds', { body: { ...hold(1, 'third'), transaction_type: 'lower' } }],
      [400, 'POST /v1/billing/holds', { body: { ...hold(1, 'third'), expires_in_seconds: 0 } }],
      [404, 'POST /v1/billing/holds', { body: credit(1, 'third', randomUUID()) }],
      [402, 'POST /v1/billing/holds', { body: hold(7, 'third') }],
      [201, 'POST /v1/billing/holds', { body: hold(6, 'third') }],
      [200, 'POST /v1/billing/holds', { body: hold(6, 'third') }],
      [409, 'POST /v1/billing/holds', { body: hold(5, 'third') }],
      [400, 'GET /v1/billing/holds', { query: { user_id: 'x' } }],
      [400, 'GET /v1/billing/holds', { query: { status: 'GONE' } }],
      [404, 'GET /v1/billing/holds', { query: nobody }],
      [200, 'GET /v1/billing/holds', { query: { user_id: customer.id, status: 'OPEN' } }],
      [200, 'GET /v1/billing/holds/{hold_id}', { path: first }],
      [404, 'GET /v1/billing/holds/{hold_id}'],
      [400, 'POST /v1/billing/holds/{hold_id}/capture', { path: first, body: { amount: 0 } }],
      [404, 'POST /v1/billing/holds/{hold_id}/capture', { body: { amount: 1 } }],
      [409, 'POST /v1/billing/holds/{hold_id}/capture', { path: first, body: { amount: 40 } }],
      [200, 'POST /v1/billing/holds/{hold_id}/capture', { path: first, body: { amount: 1 } }],
      [200, 'DELETE /v1/billing/holds/{hold_id}', { path: second }],
      [404, 'DELETE /v1/billing/holds/{hold_id}'],
      [409, 'DELETE /v1/billing/holds/{hold_id}', { path: first }],
      [409, 'POST /v1/billing/holds/{hold_id}/capture', { path: second, body: { amount: 1 } }],
      [400, 'POST /v1/verify', { body: { key: 'k', charge: charge(1, 'a'), hold: charge(1, 'a') } }],
      [400, 'POST /v1/verify', { body: { key: 'k', hold: { ...charge(1, 'a'), expires_in_seconds: 0 } } }],
      [200, 'POST /v1/verify', { body: { key: customer.key, hold: charge(2, 'fourth') } }],
      [200, 'POST /v1/verify', { body: { key: customer.key, hold: charge(2, 'fourth') } }],
      [400, 'GET /v1/audit-events', { query: { user_id: 'x' } }],
      [400, 'GET /v1/audit-events', { query: { start_date: 'yesterday' } }],
      [400, 'GET /v1/audit-events', { query: { request_id: 'mine' } }],
      [400, 'GET /v1/audit-events', { query: { action: 'user.created', exclude_action: 'user.created' } }],
      [200, 'GET /v1/audit-events'],
      [200, 'DELETE /v1/api-keys/current', { as: other }],
      [404, 'DELETE /v1/users/{user_id}', { path: nobody }],
      [409, 'DELETE /v1/users/{user_id}', { path: { user_id: admin.id } }],
      [412, 'DELETE /v1/users/{user_id}', { headers: { 'if-match': '"x"' } }],
      [412, 'DELETE /v1/users/{user_id}', { headers: { 'if-none-match': '*' } }],
      [204, 'DELETE /v1/users/{user_id}'],
    ];
    for (const [status, operation, options] of steps) await expectStatus(status, operation, options);
  });

  it('is over the rate', async () => {
    await limited.as(user).get('/v1/users/me').expect(200);
    for (const operation of operations())
      if (lists(operation, 429)) await expectStatus(429, operation, { as: user, ...bodyOf(operation) }, limited);
    const busy = await app.given.user();
    await app.given.sql('UPDATE users SET rate_limit_per_minute = 1 WHERE id = $1', [busy.id]);
    await app.as(busy).get('/v1/users/me').expect(200);
    for (const operation of operations())
      if (lists(operation, 429)) await expectStatus(429, operation, { as: busy, ...bodyOf(operation) });
  });

  it('meets a bug of ours', async () => {
    await app.given.sql('ALTER TABLE users RENAME COLUMN is_admin TO is_administrator');
    for (const operation of operations())
      if (lists(operation, 500)) await expectStatus(500, operation, bodyOf(operation));
    await app.given.sql('ALTER TABLE users RENAME COLUMN is_administrator TO is_admin');
  });

  it('meets a database that takes no writes', async () => {
    const name = new URL(database.directUrl).pathname.slice(1);
    await app.given.sql(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await app.given.sql(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1',
      [name],
    );
    const { master: pool } = app.nest.get(DataSource).driver as unknown as { master: Pool };
    while (pool.totalCount > 0) (await pool.connect()).release(true);

    await expectStatus(503, 'GET /readyz', { as: null, once: true });
  });

  it('meets a database that is away', async () => {
    await database.drop();
    for (const operation of operations())
      if (lists(operation, 503)) await expectStatus(503, operation, { ...bodyOf(operation), once: true });
  });

  it('has all been seen, as the document describes it and with the examples that stand there', () => {
    const listed = operations().flatMap((operation) => statusesOf(operation).map((status) => `${operation} ${status}`));
    console.log(`${String(seen.size)} of ${String(listed.length)} pairs of operation and status seen`);

    expect([...seen].sort()).toEqual([...listed].sort());
    expect(app.prism?.violations).toEqual([]);
    expect(app.prism?.requestViolations).toBeGreaterThan(20);
    const examples = operations().flatMap((operation) =>
      statusesOf(operation).flatMap((status) =>
        messagesOf(operation, status).map((message) => `${operation} ${status}: ${message}`),
      ),
    );
    const answered = [...messages].flatMap(([at, texts]) => [...texts].map((text) => `${at}: ${text}`));
    expect(examples.length).toBeGreaterThan(100);
    expect(examples.filter((example) => ![...answered, ...SEEN_ELSEWHERE].includes(example))).toEqual([]);
  });
});

interface Failure {
  readonly content?: {
    readonly 'application/json': {
      readonly examples?: Readonly<Record<string, { readonly value: { readonly message: string } }>>;
    };
  };
  readonly $ref?: string;
}

/**
 * Examples that need an application that stops (test/shutdown.e2e-spec.ts), and a database without
 * an index (test/search.e2e-spec.ts).
 */
const SEEN_ELSEWHERE = [
  'GET /readyz 503: The service is stopping',
  `GET /v1/users 400: ${new SearchUnavailableError().message}`,
];

/** What is particular to one request. */
const masked = (message: string): string =>
  message
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replace(/\d+ requests?/, '<n> requests')
    .replace(/has \d+ credits/, 'has <n> credits')
    .replace(/named [a-z]+$/, 'named <name>');
