import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  BadRequestError,
  createUsersApi,
  NotFoundError,
  NotModifiedError,
  ServiceUnavailableError,
  TooManyRequestsError,
  UnauthorizedError,
  UsersApiError,
  type UsersApiOptions,
} from '../clients/typescript/src/index.js';
import * as client from '../clients/typescript/src/index.js';
import { STATUS_OF } from '../src/common/errors/domain.error.js';
import { CreditsService } from '../src/index.js';
import { useTestApp } from './support/app.js';

/**
 * What happens to a request on its way: it passes, its response is lost after the server has done
 * its work, it gets no response, half of one, or another one.
 */
type Fate = 'pass' | 'lose' | 'hang' | 'stall' | { status: number; retryAfter?: string; body?: string };

/**
 * A wire between a client and the server, with a fate for each request in turn, and `pass` after
 * the last.
 */
async function startWire(target: number, fates: Fate[]) {
  const seen: { at: number; line: string }[] = [];
  const carry = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const line = `${request.method ?? ''} ${request.url ?? ''}`;
    seen.push({ at: Date.now(), line });
    const fate = fates.shift() ?? 'pass';
    if (fate === 'hang') return;
    if (fate === 'stall') {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"id":');
      return;
    }
    if (typeof fate === 'object') {
      const { status, retryAfter, body = JSON.stringify({ status, message: 'Later' }) } = fate;
      response.writeHead(status, {
        ...(retryAfter !== undefined && { 'retry-after': retryAfter }),
        'content-type': 'application/json',
        'x-request-id': 'proxy-1',
      });
      response.end(body);
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const answer = await fetch(`http://127.0.0.1:${String(target)}${request.url ?? ''}`, {
      method: request.method ?? 'GET',
      headers: {
        'x-api-key': String(request.headers['x-api-key']),
        ...(body.length > 0 && { 'content-type': 'application/json' }),
        ...(request.headers['if-none-match'] !== undefined && { 'if-none-match': request.headers['if-none-match'] }),
      },
      ...(body.length > 0 && { body }),
    });
    const text = await answer.text();
    if (fate === 'lose') {
      request.socket.resetAndDestroy();
      return;
    }
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(text);
  };
  const server = createServer((request, response) => void carry(request, response)).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  return {
    seen,
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}

describe('The client', () => {
  const app = useTestApp();
  const wires: Awaited<ReturnType<typeof startWire>>[] = [];
  const calling = async (key: string, ...fates: Fate[]) => {
    const wire = await startWire(app.port, fates);
    wires.push(wire);
    return { wire, api: createUsersApi({ baseUrl: `${wire.url}/`, apiKey: key }) };
  };
  /** Of a call that throws. */
  const failureOf = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => null,
      (error: unknown) => error,
    );
  afterEach(async () => {
    await Promise.all(wires.splice(0).map((wire) => wire.close()));
  });

  it('reads and renames its user, and types the answer', async () => {
    const { api } = await calling((await app.given.user({ name: 'Ada' })).key);

    const renamed = await api.PATCH('/v1/users/me', { body: { name: 'Ada L.' } });
    const read = await api.GET('/v1/users/me');

    const name: string | undefined = read.data?.name;
    expect(name).toBe('Ada L.');
    expect(renamed.data).toEqual(read.data);
  });

  it('returns a failure as an error of its status, with the message of the server and the id of the request', async () => {
    const { api } = await calling('no key');

    const { data, error, response } = await api.GET('/v1/users/me');

    expect(data).toBeUndefined();
    expect(error).toBeInstanceOf(UnauthorizedError);
    expect(error).toBeInstanceOf(UsersApiError);
    expect(error).toMatchObject({ name: 'UnauthorizedError', status: 401, message: 'The API key is not valid' });
    expect(error?.requestId).toBe(response.headers.get('x-request-id'));
    expect(error?.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('has an error for each status that the API returns', async () => {
    const { key } = await app.given.user();
    for (const status of new Set(Object.values(STATUS_OF))) {
      const { api } = await calling(key, { status, retryAfter: '3600' });

      const { error } = await api.POST('/v1/api-keys/{key_name}/rotate', {
        params: { path: { key_name: 'laptop' } },
        body: { expires_at: '2099-01-01T00:00:00Z' },
      });

      expect(error?.constructor).not.toBe(UsersApiError);
      expect(Object.values(client)).toContain(error?.constructor);
      expect(error).toMatchObject({ status, message: 'Later', requestId: 'proxy-1', name: error?.constructor.name });
    }
  });

  it('tells with 429 and 503 when to repeat the request', async () => {
    const { key } = await app.given.user();
    const limited = await calling(key, { status: 429, retryAfter: '3600' });
    const away = await calling(key, { status: 503, retryAfter: new Date(Date.now() + 60_000).toUTCString() });

    const [{ error: tooMany }, { error: unavailable }] = [
      await limited.api.GET('/v1/users/me'),
      await away.api.GET('/v1/users/me'),
    ];

    expect(tooMany).toBeInstanceOf(TooManyRequestsError);
    expect(tooMany).toMatchObject({ retryAfter: 3600 });
    expect(unavailable).toBeInstanceOf(ServiceUnavailableError);
    expect((unavailable as ServiceUnavailableError).retryAfter).toBeGreaterThan(50);
  });

  it('makes an error of the page of a proxy, and of 304', async () => {
    const { key, id, row } = await app.given.user();
    const { api } = await calling(key, { status: 418, body: '<h1>Teapot</h1>' });

    const { error: page } = await api.GET('/v1/users/me');
    const { error: unchanged } = await api.GET('/v1/users/me', {
      params: { header: { 'If-None-Match': `"${id}.${row.version}"` } },
    });

    expect(page).toMatchObject({ name: 'UsersApiError', status: 418, message: 'The response has status 418' });
    expect(unchanged).toBeInstanceOf(NotModifiedError);
  });

  describe('with a timeout', () => {
    it.each(['hang', 'stall'] as const)('throws a TimeoutError where the server begins to %s', async (fate) => {
      const { key } = await app.given.user();
      const { wire } = await calling(key, fate, fate, fate, fate);
      const api = createUsersApi({ baseUrl: wire.url, apiKey: key, timeout: 300 });

      const error = await failureOf(api.GET('/v1/users/me'));

      expect(error).toMatchObject({ name: 'TimeoutError', message: 'The call took longer than 300 ms' });
      expect(wire.seen).toHaveLength(1);
    });

    it('returns the last response where the wait before the next attempt would exceed it', async () => {
      const { key } = await app.given.user();
      const { api, wire } = await calling(key, { status: 503, retryAfter: '1' }, { status: 503, retryAfter: '9' });

      const { error } = await api.GET('/v1/users/me', { timeout: 5_000 });

      expect(error).toBeInstanceOf(ServiceUnavailableError);
      expect(wire.seen).toHaveLength(2);
    });

    it('counts all attempts and waits', async () => {
      const { key } = await app.given.user();
      const { api, wire } = await calling(key, { status: 503, retryAfter: '1' }, 'hang');
      const begun = Date.now();

      const error = await failureOf(api.GET('/v1/users/me', { timeout: 1_500 }));

      expect(error).toMatchObject({ name: 'TimeoutError' });
      expect(wire.seen).toHaveLength(2);
      expect(Date.now() - begun).toBeGreaterThanOrEqual(1_490);
    });

    it('leaves no timer behind after a call', async () => {
      const { api } = await calling((await app.given.user()).key);
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
      await api.GET('/v1/users/me');
      const before = timers();

      for (let call = 0; call < 5; call += 1) await api.GET('/v1/users/me', { timeout: 1_000_000 });

      expect(timers()).toBeLessThan(before + 5);
    });
  });

  it.each([500, 502, 504])('repeats a read after %i, and no change', async (status) => {
    const { key } = await app.given.user();
    const reading = await calling(key, { status }, { status });
    const changing = await calling(key, { status });

    const { data } = await reading.api.GET('/v1/users/me');
    const { error } = await changing.api.PATCH('/v1/users/me', { body: { name: 'Ada' } });

    expect(data).toBeDefined();
    expect(reading.wire.seen).toHaveLength(3);
    expect(error).toMatchObject({ status });
    expect(changing.wire.seen).toHaveLength(1);
  });

  describe('with a list', () => {
    it('gives every row once, page after page, with the filters of the caller', async () => {
      const ada = await app.given.user();
      const { api, wire } = await calling(ada.key);
      for (const name of ['a', 'b', 'c', 'd', 'e'])
        await api.POST('/v1/api-keys', { body: { name, expires_at: '2099-01-01T00:00:00Z' } });
      wire.seen.length = 0;

      const query = { items_per_page: 2, expires_before: '2099-02-01T00:00:00+00:00', page: undefined };
      const names: string[] = [];
      for await (const key of api.paginate('/v1/api-keys', { params: { query } })) {
        const name: string = key.name;
        names.push(name);
      }

      expect(names).toEqual(['e', 'd', 'c', 'b', 'a', 'first-key']);
      expect(wire.seen).toHaveLength(3);
      expect(wire.seen[2]?.line).toMatch(/items_per_page=2&.*after=/);
      expect(wire.seen[2]?.line).toContain('expires_before=2099-02-01T00%3A00%3A00%2B00%3A00');
    });

    it('asks for 100 rows at a time, and for no page that nobody reads', async () => {
      const { api, wire } = await calling((await app.given.user({ isAdmin: true })).key);

      for await (const user of api.paginate('/v1/users')) {
        expect(user.email).toContain('@');
        break;
      }

      expect(wire.seen.map(({ line }) => line)).toEqual(['GET /v1/users?items_per_page=100']);
    });

    it('throws the error of a page that fails, after its retries', async () => {
      const { api, wire } = await calling((await app.given.user()).key, { status: 502 }, { status: 400 });
      const rows = api.paginate('/v1/billing/credit-history');

      await expect(rows.next()).rejects.toThrow(BadRequestError);
      expect(wire.seen).toHaveLength(2);
    });
  });

  it('works below a path that a proxy adds', async () => {
    const ada = await app.given.user();
    const seen: string[] = [];
    const api = createUsersApi({
      baseUrl: 'https://example.com/users-api/',
      apiKey: ada.key,
      fetch: (request) => {
        seen.push(request.url);
        return Promise.resolve(new Response('{"status":404,"message":"No such route"}', { status: 404 }));
      },
    });

    const { error } = await api.GET('/v1/api-keys/{key_name}', { params: { path: { key_name: 'laptop' } } });

    expect(error).toBeInstanceOf(NotFoundError);
    expect(seen).toEqual(['https://example.com/users-api/v1/api-keys/laptop']);
  });

  it.each<[options: Partial<UsersApiOptions>, message: string]>([
    [{ baseUrl: '' }, 'baseUrl must be an absolute URL with http or https, such as http://127.0.0.1:3000: got ""'],
    [{ baseUrl: 'localhost:3000' }, 'baseUrl must be an absolute URL'],
    [{ baseUrl: '/api' }, 'baseUrl must be an absolute URL'],
    [{ baseUrl: undefined as unknown as string }, 'baseUrl must be an absolute URL'],
    [{ baseUrl: 'http://ada:secret@example.com' }, 'baseUrl must not have a user or a password'],
    [{ baseUrl: 'http://example.com/?page=1' }, 'baseUrl must not have a query or a fragment'],
    [{ apiKey: '' }, 'apiKey must be the text of an API key'],
    [{ apiKey: undefined as unknown as string }, 'apiKey must be the text of an API key'],
    [{ timeout: 0 }, 'timeout must be a number of milliseconds above 0: got 0'],
    [{ timeout: Number.NaN }, 'timeout must be a number of milliseconds above 0: got NaN'],
  ])('refuses %j when it is created, and never repeats a key or a password', (options, message) => {
    const create = () => createUsersApi({ baseUrl: 'http://127.0.0.1:3000', apiKey: 'ua_secret', ...options });

    expect(create).toThrow(TypeError);
    expect(create).toThrow(message);
    expect(create).not.toThrow(/secret/);
  });

  it('adds credits once though two answers are lost', async () => {
    const admin = await app.given.user({ isAdmin: true });
    const ada = await app.given.user();
    const { api, wire } = await calling(admin.key, 'lose', 'lose');

    const { data } = await api.POST('/v1/billing/credits-add', {
      body: { user_id: ada.id, amount: 40, transaction_id: 'order-1815' },
    });

    expect(wire.seen).toHaveLength(3);
    expect(data?.balance_after).toBe(40);
    expect((await app.stored(ada)).creditsBalance).toBe(40);
  });

  it('holds, captures and verifies once though answers are lost', async () => {
    const admin = await app.given.user({ isAdmin: true });
    const ada = await app.given.user();
    await app.nest.get(CreditsService).add({ userId: ada.id, amount: 40, transactionId: 'gift' });
    const { api, wire } = await calling(admin.key, 'lose', 'pass', 'lose', 'pass', 'lose');

    const { data: hold } = await api.POST('/v1/billing/holds', {
      body: { user_id: ada.id, amount: 30, transaction_id: 'job-1' },
    });
    const { data: entry } = await api.POST('/v1/billing/holds/{hold_id}/capture', {
      params: { path: { hold_id: hold?.id ?? '' } },
      body: { amount: 20 },
    });
    const { data: verification } = await api.POST('/v1/verify', {
      body: { key: ada.key, hold: { amount: 5, transaction_id: 'job-2' } },
    });

    expect(wire.seen).toHaveLength(6);
    expect(entry?.balance_after).toBe(20);
    expect(verification).toMatchObject({ allowed: true, replayed: true, credits_available: 15 });
    expect((await app.stored(ada)).creditsBalance).toBe(20);
  });

  // A second POST would answer 409, and the one answer that held the secret is gone all the same.
  it('does not repeat the making of a key whose answer is lost', async () => {
    const { api, wire } = await calling((await app.given.user()).key, 'lose');

    await expect(
      api.POST('/v1/api-keys', { body: { name: 'laptop', expires_at: '2099-01-01T00:00:00Z' } }),
    ).rejects.toThrow();

    expect(wire.seen).toHaveLength(1);
  });

  it('does not repeat a rotation, a rename of a key, its own revocation or a conditional write whose answer is lost', async () => {
    const ada = await app.given.user();
    const path = { key_name: 'default' };
    const { api, wire } = await calling(ada.key, 'lose', 'lose', 'lose', 'lose', 'lose');

    await expect(
      api.PATCH('/v1/users/me', { body: { name: 'Ada' }, params: { header: { 'If-Match': '"0"' } } }),
    ).rejects.toThrow();
    await expect(
      api.POST('/v1/api-keys/{key_name}/rotate', {
        params: { path },
        body: { expires_at: '2099-01-01T00:00:00Z', overlap_seconds: 60 },
      }),
    ).rejects.toThrow();
    await expect(
      api.PATCH('/v1/api-keys/{key_name}', { params: { path }, body: { name: 'laptop' } }),
    ).rejects.toThrow();
    await expect(api.DELETE('/v1/api-keys/current')).rejects.toThrow();
    await expect(
      api.DELETE('/v1/users/{user_id}', { params: { path: { user_id: ada.id }, header: { 'If-Match': '"0"' } } }),
    ).rejects.toThrow();

    expect(wire.seen).toHaveLength(5);
  });

  it('waits as long as Retry-After says, in seconds or by a date', async () => {
    const date = new Date(Date.now() + 3_000).toUTCString(); // whole seconds: at least two from now
    const { api, wire } = await calling(
      (await app.given.user()).key,
      { status: 503, retryAfter: '1' },
      { status: 429, retryAfter: date },
    );

    const { response } = await api.GET('/v1/users/me');

    const [first, second, third] = wire.seen.map(({ at }) => at);
    expect(response.status).toBe(200);
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(990);
    expect(third ?? 0).toBeGreaterThanOrEqual(Date.parse(date) - 10);
  });

  it('hands over 503 for a request that may not be repeated, and for a wait that is too long', async () => {
    const { key } = await app.given.user();
    const once = await calling(key, { status: 503, retryAfter: '0' });
    const long = await calling(key, { status: 503, retryAfter: '20' }); // less than the 30 s of a call

    const made = await once.api.POST('/v1/api-keys', { body: { name: 'phone', expires_at: '2099-01-01T00:00:00Z' } });
    const read = await long.api.GET('/v1/users/me');

    expect([made.error?.status, read.error?.status]).toEqual([503, 503]);
    expect([once.wire.seen.length, long.wire.seen.length]).toEqual([1, 1]);
  });

  it('gives up after four attempts, and at once when it is told to', async () => {
    const busy: Fate = { status: 429, retryAfter: '0' };
    const { key } = await app.given.user();
    const patient = await calling(key, busy, busy, busy, busy, busy);
    const told = await calling(key, { status: 429, retryAfter: '9' });

    const { response } = await patient.api.GET('/v1/users/me');
    const given = new AbortController();
    const waiting = told.api.GET('/v1/users/me', { signal: given.signal }).catch((error: unknown) => error);
    while (told.wire.seen.length === 0) await new Promise(setImmediate);
    given.abort(new Error('Told to give up'));

    expect(await waiting).toEqual(new Error('Told to give up'));

    expect(response.status).toBe(429);
    expect(patient.wire.seen).toHaveLength(4);
    expect(told.wire.seen).toHaveLength(1);
  });
});
