import { randomUUID } from 'node:crypto';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Response } from 'supertest';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

const EXPIRES = { expires_at: '2100-01-01T00:00:00Z' };
const LARGE = { name: 'x'.repeat(20_000) };

interface Call {
  /** By default the administrator; null for nobody. */
  readonly as?: GivenUser | null;
  /** What stands in the path; by default the other user, and the key `laptop`. */
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
      `INSERT INTO api_keys (user_id, name, expires_at, prefix, digest)
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
  const lists = (operation: string, status: number): boolean => statusesOf(operation).includes(String(status));

  async function call(
    operation: string,
    { as = admin, path, query, body, headers, once = false }: Call,
    on = app,
  ): Promise<Response> {
    const [method = '', template = ''] = operation.split(' ');
    const parameters = { user_id: other.id, key_name: 'laptop', ...path };
    const url = template.replace(/\{(\w+)\}/g, (_, name: string) => parameters[name as keyof typeof parameters]);
    const agent = as === null ? on.anyone() : on.as(as);
    const request = agent[method.toLowerCase() as 'get'](url).query(query ?? {});
    const sent = { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers };
    if (once) request.retry(0);
    const answer = await request.set(sent).send(body === undefined ? undefined : JSON.stringify(body));
    seen.add(`${operation} ${String(answer.status)}`);
    const { message } = answer.body as { message?: string };
    if (message !== undefined) {
      const known = messages.get(String(answer.status)) ?? new Set();
      messages.set(String(answer.status), known.add(message));
    }
    return answer;
  }
  const expectStatus = async (status: number, operation: string, options: Call = {}, on = app): Promise<void> => {
    const answer = await call(operation, options, on);
    expect([operation, answer.status, answer.body]).toEqual([operation, status, answer.body]);
  };
  const bodyOf = (operation: string): Call => (lists(operation, 415) ? { body: {} } : {});
  const make = (name: string): object => ({ name, ...EXPIRES });
  const credit = (amount: number, transaction_id: string = randomUUID(), user_id = other.id): object => ({
    user_id,
    amount,
    transaction_id,
  });

  it('refuses whoever it does not know, or may not do it, and bodies that are none', async () => {
    await expectStatus(401, 'GET /v1/users/me', { as: { ...user, key: 'made-up' } });
    for (const operation of operations()) {
      if (lists(operation, 401)) await expectStatus(401, operation, { as: null });
      if (lists(operation, 403)) await expectStatus(403, operation, { as: user, query: { user_id: other.id } });
      if (lists(operation, 415))
        await expectStatus(415, operation, { body: {}, headers: { 'content-type': 'text/plain' } });
      if (lists(operation, 413)) await expectStatus(413, operation, { body: LARGE });
      if (lists(operation, 413)) await expectStatus(400, operation, { body: [] });
    }
  });

  it('succeeds, is not modified, is not found, or is in conflict', async () => {
    const revoked = { key_name: 'revoked' };
    const nobody = { user_id: randomUUID() };
    const nothing = { key_name: 'nothing' };
    const steps: [number, string, Call?][] = [
      [200, 'GET /livez', { as: null }],
      [200, 'GET /readyz', { as: null }],
      [200, 'GET /v1/users/me'],
      [304, 'GET /v1/users/me', { headers: { 'if-none-match': `"${admin.id}.1"` } }],
      [400, 'PATCH /v1/users/me', { body: { name: 7 } }],
      [400, 'PATCH /v1/users/me', { body: { email: 'new@example.com' } }],
      [412, 'PATCH /v1/users/me', { body: { name: 'Grace' }, headers: { 'if-match': '"other"' } }],
      [412, 'PATCH /v1/users/me', { body: { name: 'Grace' }, headers: { 'if-none-match': '*' } }],
      [200, 'PATCH /v1/users/me', { body: { name: 'Grace' } }],
      [201, 'POST /v1/users', { body: { name: 'New', email: 'new@example.com' } }],
      [409, 'POST /v1/users', { body: { name: 'New', email: 'NEW@example.com' } }],
      [400, 'GET /v1/users', { query: { page: '0' } }],
      [200, 'GET /v1/users'],
      [200, 'GET /v1/users/{user_id}'],
      [304, 'GET /v1/users/{user_id}', { headers: { 'if-none-match': `"${other.id}.1"` } }],
      [404, 'GET /v1/users/{user_id}', { path: nobody }],
      [404, 'PATCH /v1/users/{user_id}', { path: nobody, body: { name: 'New' } }],
      [412, 'PATCH /v1/users/{user_id}', { body: { name: 'New' }, headers: { 'if-match': '"other"' } }],
      [409, 'PATCH /v1/users/{user_id}', { path: { user_id: admin.id }, body: { status: 'INACTIVE' } }],
      [200, 'PATCH /v1/users/{user_id}', { body: { name: 'New' } }],
      [404, 'POST /v1/users/{user_id}/api-keys', { path: nobody, body: make('phone') }],
      [201, 'POST /v1/users/{user_id}/api-keys', { body: make('phone') }],
      [409, 'POST /v1/users/{user_id}/api-keys', { body: make('phone') }],
      [201, 'POST /v1/api-keys', { body: make('revoked') }],
      [409, 'POST /v1/api-keys', { body: make('laptop') }],
      [400, 'GET /v1/api-keys', { query: { page: '0' } }],
      [200, 'GET /v1/api-keys'],
      [200, 'GET /v1/api-keys/current'],
      [200, 'GET /v1/api-keys/{key_name}'],
      [404, 'GET /v1/api-keys/{key_name}', { path: nothing }],
      [404, 'PATCH /v1/api-keys/{key_name}', { path: nothing, body: { name: 'new' } }],
      [409, 'PATCH /v1/api-keys/{key_name}', { body: { name: 'revoked' } }],
      [200, 'PATCH /v1/api-keys/{key_name}', { body: { name: 'laptop' } }],
      [404, 'DELETE /v1/api-keys/{key_name}', { path: nothing }],
      [200, 'DELETE /v1/api-keys/{key_name}', { path: revoked }],
      [404, 'POST /v1/api-keys/{key_name}/rotate', { path: nothing, body: EXPIRES }],
      [409, 'POST /v1/api-keys/{key_name}/rotate', { path: revoked, body: EXPIRES }],
      [201, 'POST /v1/api-keys/{key_name}/rotate', { body: EXPIRES }],
      [404, 'POST /v1/billing/credits-add', { body: credit(5, 'one', randomUUID()) }],
      [200, 'POST /v1/billing/credits-add', { body: credit(5, 'one') }],
      [409, 'POST /v1/billing/credits-add', { body: credit(6, 'one') }],
      [404, 'POST /v1/billing/credits-deduct', { body: credit(1, 'two', randomUUID()) }],
      [402, 'POST /v1/billing/credits-deduct', { body: credit(6) }],
      [200, 'POST /v1/billing/credits-deduct', { body: credit(1, 'two') }],
      [409, 'POST /v1/billing/credits-deduct', { body: credit(2, 'two') }],
      [400, 'GET /v1/billing/credit-history', { query: { start_date: 'yesterday' } }],
      [404, 'GET /v1/billing/credit-history', { query: nobody }],
      [200, 'GET /v1/billing/credit-history', { query: { user_id: other.id } }],
      [400, 'GET /v1/audit-events', { query: { page: '0' } }],
      [200, 'GET /v1/audit-events'],
      [200, 'DELETE /v1/api-keys/current', { as: other }],
      [404, 'DELETE /v1/users/{user_id}', { path: nobody }],
      [409, 'DELETE /v1/users/{user_id}', { path: { user_id: admin.id } }],
      [412, 'DELETE /v1/users/{user_id}', { headers: { 'if-match': '"x"' } }],
      [204, 'DELETE /v1/users/{user_id}'],
    ];
    for (const [status, operation, options] of steps) await expectStatus(status, operation, options);
  });

  it('is over the rate', async () => {
    await limited.as(user).get('/v1/users/me').expect(200);
    for (const operation of operations())
      if (lists(operation, 429)) await expectStatus(429, operation, { as: user, ...bodyOf(operation) }, limited);
  });

  it('meets a bug of ours', async () => {
    await app.given.sql('ALTER TABLE users RENAME COLUMN is_admin TO is_administrator');
    for (const operation of operations())
      if (lists(operation, 500)) await expectStatus(500, operation, bodyOf(operation));
    await app.given.sql('ALTER TABLE users RENAME COLUMN is_administrator TO is_admin');
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
    for (const response of Object.values(document.components?.responses ?? {})) {
      const { content } = response as unknown as {
        content: { 'application/json': { examples: Record<string, { value: Example }> } };
      };
      for (const { value } of Object.values(content['application/json'].examples)) {
        expect([...(messages.get(String(value.status)) ?? [])].map(masked)).toContain(masked(value.message));
      }
    }
  });
});

interface Example {
  readonly status: number;
  readonly message: string;
}

/** What is particular to one request. */
const masked = (message: string): string =>
  message.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>').replace(/\d+ requests/, '<n> requests');
