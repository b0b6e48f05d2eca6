import { METHODS, request as send } from 'node:http';
import { randomUUID } from 'node:crypto';
import { generateApiKey } from '../src/common/api-key-format.js';
import { ApiKeysService, type KeyWithSecret } from '../src/index.js';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import { createDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

const FUTURE = new Date('2099-01-01T00:00:00.000Z');
const IDENTITY = ['x-user-id', 'x-api-key-id', 'x-api-key-name', 'x-api-key-scopes'];

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** Sends header fields as they are given, each of those that have several values more than once. */
const ask = (
  app: TestApp,
  headers: Readonly<Record<string, string | string[]>>,
  { method = 'GET', query = '' } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const path = `/v1/forward-auth${query}`;
    const request = send({ port: app.port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response
        .on('data', (chunk: Buffer) => chunks.push(chunk))
        .on('end', () => {
          const { statusCode: status = 0, headers: fields } = response;
          resolve({ status, headers: fields as Answer['headers'], body: Buffer.concat(chunks).toString() });
        });
    });
    request.on('error', reject).end();
  });

describe('/v1/forward-auth', () => {
  const app = useTestApp();
  let ada: GivenUser;
  beforeEach(async () => {
    ada = await app.given.user();
  });

  const keyOf = (user: GivenUser, scopes: readonly string[] | null): Promise<KeyWithSecret> =>
    app.nest.get(ApiKeysService).create({ userId: user.id, name: randomUUID(), expiresAt: FUTURE, scopes });
  const status = async (key: string, query: string, required: string | string[] = []): Promise<number> =>
    (await ask(app, { 'x-api-key': key, 'x-required-scope': required }, { query })).status;

  it.each([
    [null, '*'],
    [[], '-'],
    [['b', 'a'], 'a b'],
  ])('200 tells the proxy who calls, in headers that are never empty: scopes %j', async (scopes, listed) => {
    const { key, secret } = await keyOf(ada, scopes);

    for (const headers of [{ 'x-api-key': secret }, { authorization: `Bearer ${secret}` }] as const) {
      const answer = await ask(app, headers);
      expect(answer).toMatchObject({ status: 200, body: '' });
      expect(IDENTITY.map((name) => answer.headers[name])).toEqual([ada.id, key.id, key.name, listed]);
      expect(answer.headers).toMatchObject({
        'cache-control': 'private, no-cache',
        vary: expect.any(String) as string,
      });
      expect(answer.headers.vary?.toLowerCase().split(', ').sort()).toEqual(['authorization', 'x-api-key']);
      expect(answer.headers.etag).toBeUndefined();
    }
  });

  it('answers every method, and ignores conditions', async () => {
    const { secret } = await keyOf(ada, []);
    const headers = {
      'x-api-key': secret,
      'if-none-match': '*',
      'if-match': '"x"',
      'if-modified-since': 'Fri, 31 Dec 2100 23:59:59 GMT',
    };

    for (const method of METHODS.filter((name) => name !== 'CONNECT')) {
      const answer = await ask(app, headers, { method });
      expect([method, answer.status, answer.headers['x-user-id']]).toEqual([method, 200, ada.id]);
      expect([method, (await ask(app, {}, { method })).status]).toEqual([method, 401]);
    }
  });

  it('ignores the same headers of the request', async () => {
    const forged = Object.fromEntries(IDENTITY.map((name) => [name, 'forged']));

    const known = await ask(app, { ...forged, 'x-api-key': ada.key });
    const unknown = await ask(app, { ...forged, 'x-api-key': generateApiKey() });

    expect(known.headers['x-user-id']).toBe(ada.id);
    expect(IDENTITY.map((name) => known.headers[name])).not.toContain('forged');
    expect(IDENTITY.map((name) => unknown.headers[name])).toEqual(Array(4).fill(undefined));
  });

  it('401 for anything other than one key', async () => {
    const { key } = ada;
    const bearer = `Bearer ${key}`;
    const of = async (headers: Record<string, string | string[]>) => (await ask(app, headers)).status;

    expect(await of({})).toBe(401);
    expect(await of({ 'x-api-key': key, authorization: bearer })).toBe(401);
    expect(await of({ 'x-api-key': [key, key] })).toBe(401);
    expect(await of({ authorization: [bearer, bearer] })).toBe(401);
    expect(await of({ authorization: ['Basic YTpi', bearer] })).toBe(200); // one key, whatever else there is
    expect(await of({ 'x-api-key': key, authorization: 'Basic YTpi' })).toBe(200);
    expect(await of({ authorization: `bearer   ${key}` })).toBe(200);
    expect(await of({ authorization: `Bearer ${key}, Bearer ${key}` })).toBe(401);
    expect(await of({ authorization: key })).toBe(401);
    expect(await of({ authorization: `Bearer${key}` })).toBe(401);
    expect(JSON.parse((await ask(app, {})).body)).toEqual({
      status: 401,
      message: 'One API key is required, in the x-api-key header or as a bearer token in Authorization',
    });
  });

  it('is the only route that accepts a bearer token', async () => {
    const response = await app.anyone().get('/v1/users/me').set('authorization', `Bearer ${ada.key}`);

    expect(response.status).toBe(401);
  });

  it('403 without every scope that the query or a header names', async () => {
    const { secret } = await keyOf(ada, ['a', 'b', 'ua:users:read']);

    expect(await status(secret, '')).toBe(200);
    expect(await status(secret, '?scope=a')).toBe(200);
    expect(await status(secret, '?scope=a&scope=b')).toBe(200);
    expect(await status(secret, '?scope=a&scope=c')).toBe(403);
    expect(await status(secret, '?scope=a', 'b')).toBe(200);
    expect(await status(secret, '?scope=a', 'c')).toBe(403);
    expect(await status(secret, '', 'a,b')).toBe(200);
    expect(await status(secret, '', 'a, b')).toBe(200);
    expect(await status(secret, '', 'a  b,')).toBe(200);
    expect(await status(secret, '', 'a,c')).toBe(403);
    expect(await status(secret, '', ['a', 'b'])).toBe(200);
    expect(await status(secret, '', ['a', 'c'])).toBe(403);
    expect(await status(secret, '?scope=ua:users:read')).toBe(403); // the role does not allow it
    expect(await status(secret, `?${'&'.repeat(1_500)}scope=c`)).toBe(403);
    expect(await status(ada.key, '?scope=anything', 'else')).toBe(200);
    expect(await status(ada.key, '?scope=ua:users:read')).toBe(403);
  });

  it.each(['?scope=', '?scope=A', '?scope=a%20b', '?scope=ua:everything', '?scope', `?scope=${'a'.repeat(65)}`])(
    '403 for what is not the name of a scope: %s',
    async (query) => {
      expect(await status(ada.key, query)).toBe(403);
    },
  );

  it('ignores all other parameters, such as the URL of the caller of a proxy', async () => {
    for (const query of ['?url=/jobs?id=5&x[]=1&__proto__=1&url=2', '?a%zz', '?=&='])
      expect(await status(ada.key, query)).toBe(200);
  });

  it('503 while the database is away, never 401', async () => {
    const database = await createDatabase();
    const own = await startTestApp(database.url);
    const { key } = await own.given.user();
    await database.drop();

    const answer = await ask(own, { 'x-api-key': key });
    await own.close();

    expect(answer.status).toBe(503);
    expect(answer.headers['x-user-id']).toBeUndefined();
  });

  it('429 beyond the limit of the key, and for failures by address', async () => {
    const database = await createDatabase();
    const own = await startTestApp(database.url, { RATE_LIMIT_PER_MINUTE: '2' });
    const { key } = await own.given.user();

    const answers = [];
    for (const sent of [key, key, key, 'ua_wrong', 'ua_wrong', 'ua_wrong'])
      answers.push(await ask(own, { authorization: `Bearer ${sent}` }));
    await own.close();

    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 429, 401, 401, 429]);
    expect(answers[2]?.headers['x-user-id']).toBeUndefined();
  });
});
