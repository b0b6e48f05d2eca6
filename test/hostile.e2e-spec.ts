import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import type { OpenAPIObject } from '@nestjs/swagger';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { fuzz, randomFrom } from './support/fuzz.js';
import { readRaw, readToEnd } from './support/raw-http.js';
import { Programs } from './support/server-process.js';

const SMUGGLED = 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n';
const get = (fields: string): string => `GET /livez HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n${SMUGGLED}`;
const chunked = 'Transfer-Encoding: chunked';

/** A body is read behind the key, so these are sent with one. */
const BODIES: readonly (readonly [string, string, string])[] = [
  ['Content-Length and Transfer-Encoding', `Content-Length: 4\r\n${chunked}`, '0\r\n\r\n'],
  ['Transfer-Encoding and Content-Length', `${chunked}\r\nContent-Length: 4`, '0\r\n\r\n'],
  ['the same length twice', 'Content-Length: 2\r\nContent-Length: 2', '{}'],
  ['two different lengths', 'Content-Length: 2\r\nContent-Length: 3', '{}'],
  ['a list of lengths', 'Content-Length: 2, 2', '{}'],
  ['a length with a sign', 'Content-Length: +2', '{}'],
  ['a negative length', 'Content-Length: -2', '{}'],
  ['a hexadecimal length', 'Content-Length: 0x2', '{}'],
  ['a length beyond 64 bits', 'Content-Length: 18446744073709551618', '{}'],
  ['an empty length', 'Content-Length: ', '{}'],
  ['an unknown transfer coding', 'Transfer-Encoding: xchunked', '0\r\n\r\n'],
  ['identity after chunked', 'Transfer-Encoding: chunked, identity', '0\r\n\r\n'],
  ['identity alone', 'Transfer-Encoding: identity', '0\r\n\r\n'],
  ['a coding before chunked', 'Transfer-Encoding: gzip, chunked', '2\r\n{}\r\n0\r\n\r\n'],
  ['chunked twice', 'Transfer-Encoding: chunked, chunked', '0\r\n\r\n'],
  ['two transfer codings in two fields', `${chunked}\r\nTransfer-Encoding: identity`, '0\r\n\r\n'],
  ['a vertical tab before chunked', 'Transfer-Encoding: \u000bchunked', '0\r\n\r\n'],
  ['chunked in quotes', 'Transfer-Encoding: "chunked"', '0\r\n\r\n'],
  ['a space before the colon', 'Transfer-Encoding : chunked', '0\r\n\r\n'],
  ['a folded line', `X-Folded: a\r\n ${chunked}`, '0\r\n\r\n'],
  ['a folded transfer coding', 'Transfer-Encoding:\r\n chunked', '0\r\n\r\n'],
  ['a chunk size beyond 64 bits', chunked, '10000000000000002\r\n{}\r\n0\r\n\r\n'],
  ['a negative chunk size', chunked, '-2\r\n{}\r\n0\r\n\r\n'],
  ['a chunk size with 0x', chunked, '0x2\r\n{}\r\n0\r\n\r\n'],
  ['a space after the chunk size', chunked, '2 \r\n{}\r\n0\r\n\r\n'],
  ['a bare line feed after the chunk size', chunked, '2\n{}\r\n0\r\n\r\n'],
  ['a bare line feed after the chunk', chunked, '2\r\n{}\n0\r\n\r\n'],
  ['a chunk longer than its size', chunked, '2\r\n{}x\r\n0\r\n\r\n'],
  ['a bare line feed in a chunk extension', chunked, '2;a\n{}\r\n0\r\n\r\n'],
  ['a trailer', chunked, '2\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n'],
  ['a length in a trailer', chunked, '2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n'],
];

const HEADS: readonly (readonly [string, string])[] = [
  ['bare line feeds', `GET /livez HTTP/1.1\nHost: x\n\n${SMUGGLED}`],
  ['a bare carriage return', `GET /livez HTTP/1.1\r\nHost: x\rX: y\r\n\r\n${SMUGGLED}`],
  ['NUL in a field', get('X-Field: a\u0000b')],
  ['NUL in a name', get('X-Fi\u0000ld: a')],
  ['two Host fields', get('Host: y')],
  ['a target with another host', `GET http://elsewhere/livez HTTP/1.1\r\nHost: x\r\n\r\n${SMUGGLED}`],
  [
    'HTTP/1.0 with a transfer coding',
    `PATCH /v1/users/me HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n${chunked}\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ],
  ['HTTP/0.9', `GET /livez\r\n\r\n${SMUGGLED}`],
  ['the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${SMUGGLED}`],
  ['nonsense', `NONSENSE\r\n\r\n${SMUGGLED}`],
];

const expectOneRefusal = (text: string, status: number): void => {
  expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual([`HTTP/1.1 ${String(status)}`]);
  expect(text).toMatch(/\r\nConnection: close\r\n/);
  expect(text).toMatch(/\r\nContent-Type: application\/json; charset=utf-8\r\n/);
  expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n')))).toEqual({ status, message: expect.any(String) });
};

describe('A request that a proxy might read differently', () => {
  const app = useTestApp();

  it.each(BODIES)('400 closes the connection and answers nothing behind it: %s', async (_, fields, body) => {
    const { key } = await app.given.user();

    const text = await readToEnd(
      app.port,
      `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\nContent-Type: application/json\r\n${fields}\r\n\r\n${body}${SMUGGLED}`,
    );

    expectOneRefusal(text, 400);
  });

  it.each(HEADS)('400 closes the connection and answers nothing behind it: %s', async (_, bytes) => {
    expectOneRefusal(await readToEnd(app.port, bytes), 400);
  });

  it('413 closes the connection for chunk extensions without end', async () => {
    const { key } = await app.given.user();

    const text = await readToEnd(
      app.port,
      `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\nContent-Type: application/json\r\n${chunked}\r\n\r\n2;${'a'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n${SMUGGLED}`,
    );

    expectOneRefusal(text, 413);
  });

  it('does nothing for the requests behind it', async () => {
    const ada = await app.given.user();
    const rename = `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${ada.key}\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"name":"Evil"}`;

    expectOneRefusal(await readToEnd(app.port, `GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n${rename}`), 400);
    await app.as(ada).get('/v1/users/me');

    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it('is not one whose chunks, extensions and names are unusual but plain', async () => {
    const { key } = await app.given.user();

    const text = await readRaw(
      app.port,
      `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\nContent-Type: application/json\r\ntransfer-ENCODING:CHUNKED\r\n\r\n1;a=b\r\n{\r\n01\r\n}\r\n0\r\n\r\n${SMUGGLED}`,
    );

    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200']);
  });

  it('gets no second answer for a body that goes wrong after it was refused', async () => {
    const head = `POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${chunked}\r\n\r\n`;

    const text = await readRaw(app.port, head, 'nonsense\r\n\r\n');

    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 401']);
  });
});

describe('Pipelined requests', () => {
  const app = useTestApp();

  // The rest of a body that is refused in its middle stood before the next request until the
  // time-out of 10 s cut both off.
  it.each([17_000, 3_000_000])('are answered behind a chunked body of %i bytes, which is 413', async (length) => {
    const { key } = await app.given.user();
    const head = `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\nContent-Type: application/json\r\n`;

    const text = await readRaw(
      app.port,
      `${head}Transfer-Encoding: chunked\r\n\r\n${length.toString(16)}\r\n${' '.repeat(length)}\r\n0\r\n\r\n` +
        'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n',
    );

    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
  });

  it('are taken one after the other, so that each sees what the one before has written', async () => {
    const ada = await app.given.user();
    const head = (method: string): string => `${method} /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${ada.key}\r\n`;
    const pair = (name: string): string =>
      `${head('PATCH')}Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{"name":"${name}"}${head('GET')}\r\n`;

    const text = await readRaw(app.port, ['A', 'B', 'C', 'D'].map(pair).join(''));

    expect(text.match(/"name":"."/g)).toEqual([...'AABBCCDD'].map((name) => `"name":"${name}"`));
  });
});

describe('A caller without a key', () => {
  // Node no longer listens to a connection that it has handed over: a reset of one ended the
  // process.
  it('cannot end the process by resetting the connection of a CONNECT', async () => {
    const programs = await Programs.inEmptyDirectory();
    const database = await createDatabase();
    const server = await programs.startServer({ DATABASE_URL: database.url });
    const { port } = new URL(server.url);

    for (let time = 0; time < 100; time += 1) {
      const socket = connect(Number(port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write('CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n');
      if (time % 2 === 1) await once(socket, 'data');
      socket.resetAndDestroy();
      await once(socket, 'close');
    }

    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    expect((await server.end('SIGTERM')).code).toBe(0);
    await programs.dispose();
    await database.drop();
  });

  it('gets no more than some hundred answers for requests that it sends without waiting for any', async () => {
    const database = await createDatabase();
    const app = await startTestApp(database.url);

    const flood = 'GET /v1/users/me HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5_000);
    const text = await readToEnd(app.port, flood).catch(() => 'reset');

    expect((text.match(/HTTP\/1\.1 401/g) ?? []).length).toBeLessThan(1_000);
    expect((await app.anyone().get('/livez')).status).toBe(200);
    await app.close();
    await database.drop();
  });
});

describe('A slow caller', () => {
  let database: TestDatabase;
  let app: TestApp;
  let server: Server;
  let limits: Pick<Server, 'headersTimeout' | 'requestTimeout' | 'keepAliveTimeout'>;

  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url);
    server = app.nest.getHttpServer();
    const { headersTimeout, requestTimeout, keepAliveTimeout } = server;
    limits = { headersTimeout, requestTimeout, keepAliveTimeout };
    server.headersTimeout = server.requestTimeout = 50; // the server reads them anew at each look that it takes
  });
  afterAll(async () => {
    await app.nest.close();
    await database.drop();
  });

  it('has 5 s for the header, 10 s for the request, 65 s between two of them', () => {
    expect(limits).toEqual({ headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 65_000 });
  });

  it.each([
    ['a header', 'GET /livez HTTP/1.1\r\nHost: x\r\n'],
    ['a body', undefined],
    ['a connection without a byte', ''],
  ] as const)('408 closes the connection when %s does not end in time', async (_, bytes) => {
    const { key } = await app.given.user();

    const text = await readToEnd(
      app.port,
      bytes ??
        `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{`,
    );

    expectOneRefusal(text, 408);
  });

  it('gets no 408 behind the answer that it had before its body was whole', async () => {
    const text = await readToEnd(
      app.port,
      'POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{',
    );

    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 401']);
  });
});

describe('Thousands of mutated requests', () => {
  it('get no answer but a proper one, and never a server error', async () => {
    const database = await createDatabase();
    const app = await startTestApp(database.url, { RATE_LIMIT_PER_MINUTE: '0' });
    const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 32));
    process.stdout.write(`FUZZ_SEED=${String(seed)}\n`);
    const random = randomFrom(seed);
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );

    for (let round = 0; round < 4; round += 1) {
      const admin = await app.given.user({ isAdmin: true });
      const user = await app.given.user();
      const target = { adminKey: admin.key, userKey: user.key, userId: user.id, keyName: 'first-key' };
      const { faults, statuses } = await fuzz(app.port, operations, target, random, { requests: 750, atOnce: 16 });

      expect(faults).toEqual([]);
      expect(Object.keys(statuses)).toEqual(expect.arrayContaining(['200', '400', '401', '404']));
    }

    expect((await app.anyone().get('/readyz')).status).toBe(200);
    await app.nest.close();
    await database.drop();
  });
});
