import { once } from 'node:events';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { MetricsServer } from '../src/metrics/metrics.server.js';
import { startTestApp, type TestApp } from './support/app.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

/**
 * Sends bytes and ends its half of the connection, as `nc -N` does, and reads until the server ends
 * the other half.
 */
async function sendAndEnd(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let received = '';
  socket.on('data', (chunk) => (received += chunk.toString('latin1')));
  socket.end(bytes);
  await once(socket, 'end');
  return received;
}

const statusesOf = (received: string): string[] => received.match(/(?<=HTTP\/1\.1 )\d{3}/g) ?? [];

describe('A caller that ends its half of the connection after its request', () => {
  let database: TestDatabase;
  let app: TestApp;
  let ada: GivenUser;
  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { METRICS_PORT: '0' });
    ada = await app.given.user();
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });
  // The 65 s for which an idle connection is kept are longer than a test may take, so each of these
  // would fail by waiting.
  afterEach(async () => {
    const server = app.nest.getHttpServer();
    while ((await promisify(server.getConnections.bind(server))()) > 0) await new Promise(setImmediate);
  });

  const patch = (name: string, fields = ''): string => {
    const body = JSON.stringify({ name });
    return (
      `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${ada.key}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${String(Buffer.byteLength(body))}\r\n${fields}\r\n${body}`
    );
  };
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\nx-api-key: ${ada.key}\r\n\r\n`;

  it('200 is sent for what it reads, and the connection is closed then', async () => {
    const received = await sendAndEnd(app.port, get('/v1/users/me'));

    expect(statusesOf(received)).toEqual(['200']);
    expect(received).toContain(`"id":"${ada.id}"`);
  });

  it('200 is sent for the change that was made, also in HTTP/1.0', async () => {
    const [first, second] = [
      await sendAndEnd(app.port, patch('First')),
      await sendAndEnd(app.port, patch('Second').replace('HTTP/1.1', 'HTTP/1.0')),
    ];

    expect(first).toContain('"name":"First"');
    expect(second).toContain('"name":"Second"');
    expect(await app.stored(ada)).toMatchObject({ name: 'Second' });
  });

  it('every response is sent, in order, for requests that it sent without waiting', async () => {
    const received = await sendAndEnd(app.port, patch('Third') + get('/v1/users/me') + get('/nowhere') + get('/livez'));

    expect(statusesOf(received)).toEqual(['200', '200', '404', '200']);
    expect(received.match(/"name":"Third"/g)).toHaveLength(2);
  });

  it('503 is sent where its change waits in vain for the row', async () => {
    const holder = app.given.sql(
      'WITH held AS (SELECT FROM users WHERE id = $1 FOR UPDATE) SELECT pg_sleep(2) FROM held',
      [ada.id],
    );
    await untilHeld();

    const received = await sendAndEnd(app.port, patch('Never'));
    await holder;

    expect(statusesOf(received)).toEqual(['503']);
    expect(await app.stored(ada)).toMatchObject({ name: 'Third' });
  });

  it('400 is sent for a body that ends before its announced length, and nothing is changed', async () => {
    const received = await sendAndEnd(app.port, patch('Never').slice(0, -1));

    expect(statusesOf(received)).toEqual(['400']);
    expect(await app.stored(ada)).toMatchObject({ name: 'Third' });
  });

  it('a connection on which nothing is asked is closed', async () => {
    expect(await sendAndEnd(app.port, '')).toBe('');
  });

  it('an idle connection is closed', async () => {
    const socket = connect({ port: app.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(get('/livez'));
    await once(socket, 'data');

    socket.end();
    const ended = once(socket, 'end');

    await expect(ended).resolves.toBeDefined();
  });

  it('200 is sent on the port of the metrics', async () => {
    const port = await app.nest.get(MetricsServer, { strict: false }).listen(0, '127.0.0.1');

    const received = await sendAndEnd(port, 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');

    expect(statusesOf(received)).toEqual(['200']);
  });

  async function untilHeld(): Promise<void> {
    const sleeping = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;
    while ((await administer(sleeping, database.directUrl)).length === 0) await new Promise(setImmediate);
  }
});
