import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createUsersApi } from '@users-api/server/client';
import { useTestApp } from './support/app.js';

/**
 * What happens to a request on its way: it passes, or its answer is lost after the server has done
 * its work.
 */
type Fate = 'pass' | 'lose' | { status: number; retryAfter: string };

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
    if (typeof fate === 'object') {
      response.writeHead(fate.status, { 'retry-after': fate.retryAfter, 'content-type': 'application/json' });
      response.end(JSON.stringify({ status: fate.status, message: 'Later' }));
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
      },
      ...(body.length > 0 && { body }),
    });
    const text = await answer.text();
    if (fate === 'lose') {
      request.socket.resetAndDestroy();
      return;
    }
    response.writeHead(answer.status, { 'content-type': 'application/json' });
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

const HOUR_MS = 3_600_000;

describe('The client', () => {
  const app = useTestApp();
  const wires: Awaited<ReturnType<typeof startWire>>[] = [];
  const calling = async (key: string, ...fates: Fate[]) => {
    const wire = await startWire(app.port, fates);
    wires.push(wire);
    const options = { baseUrl: wire.url, apiKey: key };
    const willing = createUsersApi({ ...options, patience: { maxWaitMs: 24 * HOUR_MS } });
    return { wire, api: createUsersApi(options), willing };
  };
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

  it('hands over a failure as the server words it', async () => {
    const { api } = await calling('no key');

    const { data, error } = await api.GET('/v1/users/me');

    expect(data).toBeUndefined();
    expect(error).toEqual({ status: 401, message: 'The API key is not valid' });
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
    const long = await calling(key, { status: 503, retryAfter: '3600' });

    const made = await once.api.POST('/v1/api-keys', { body: { name: 'phone', expires_at: '2099-01-01T00:00:00Z' } });
    const read = await long.api.GET('/v1/users/me');

    expect([made.response.status, read.response.status]).toEqual([503, 503]);
    expect([once.wire.seen.length, long.wire.seen.length]).toEqual([1, 1]);
  });

  it('gives up after four attempts, and at once when it is told to', async () => {
    const busy: Fate = { status: 429, retryAfter: '0' };
    const { key } = await app.given.user();
    const patient = await calling(key, busy, busy, busy, busy, busy);
    const told = await calling(key, { status: 429, retryAfter: '3600' }); // longer than this test may take

    const { response } = await patient.api.GET('/v1/users/me');
    const given = new AbortController();
    const waiting = told.willing.GET('/v1/users/me', { signal: given.signal }).catch((error: unknown) => error);
    while (told.wire.seen.length === 0) await new Promise(setImmediate);
    given.abort(new Error('Told to give up'));

    expect(await waiting).toEqual(new Error('Told to give up'));
    expect(response.status).toBe(429);
    expect(patient.wire.seen).toHaveLength(4);
    expect(told.wire.seen).toHaveLength(1);
  });
});
