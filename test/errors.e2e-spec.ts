import { once } from 'node:events';
import { Agent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Controller, Get, Module } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { pino } from 'pino';
import { DataSource, QueryFailedError } from 'typeorm';
import request from 'supertest';
import { createAppOf } from '../src/app.setup.js';
import { startTestApp, useTestApp } from './support/app.js';
import { createDatabase } from './support/database.js';
import { patiently } from './support/patience.js';
import { startProxy } from './support/proxy.js';
import { readRaw, sendRaw } from './support/raw-http.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('A request that no handler takes', () => {
  const app = useTestApp();

  it.each(['/v1', '/v1/users/me/nope', '/v2/users/me', '/users/me', '/docs/nope', '/v1/users/me%2f'])(
    '404 for %s',
    async (path) => {
      const response = await app.anyone().get(path);

      expect(response.status).toBe(404);
      expect(response.body).toEqual({ status: 404, message: 'No such route' });
    },
  );

  it('404 repeats nothing of the URL', async () => {
    const { key } = await app.given.user();

    const response = await app.anyone().get(`/v1/nope/${key}?token=${key}`);

    expect(response.text).toBe('{"status":404,"message":"No such route"}');
  });

  it.each([
    ['/v1/users/me', 'delete', 'GET, PATCH, HEAD'],
    ['/v1/users/me', 'post', 'GET, PATCH, HEAD'],
    ['/v1/users/me', 'put', 'GET, PATCH, HEAD'],
    ['/v1/users/me', 'options', 'GET, PATCH, HEAD'],
    ['/v1/users/me?x=1', 'delete', 'GET, PATCH, HEAD'],
    ['/', 'post', 'GET, HEAD'],
    ['/livez', 'post', 'GET, HEAD'],
    ['/docs-json', 'delete', 'GET, HEAD'],
    ['/docs/swagger-ui.css', 'post', 'GET, HEAD'],
    ['/v1/users/0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90', 'post', 'GET, PATCH, DELETE, HEAD'],
  ] as const)('405 for %s %s names the allowed methods, before it asks for a key', async (path, method, allow) => {
    const response = await app.anyone()[method](path);

    expect(response.status).toBe(405);
    expect(response.body).toEqual({ status: 405, message: `This route takes only ${allow}` });
    expect(response.headers.allow).toBe(allow);
  });

  it.each([
    ['/v1/users/no-uuid', 'post'],
    ['/v1/users/me/api-keys', 'get'],
    ['/v1/api-keys/current/rotate', 'get'],
    ['/v1/api-keys/NOT%20A%20NAME', 'put'],
  ] as const)('404 for a path whose parameter no route takes, whatever the method: %s %s', async (path, method) => {
    const response = await app.anyone()[method](path);

    expect(response.body).toEqual({ status: 404, message: 'No such route' });
  });

  it.each(['/%', '/v1/users/%E0%A4%A', '/docs/%ff', '/v1/users/me#name', '//a@b#', '/\\a?#a@b'])(
    '400 for a URL that does not decode: %s',
    async (path) => {
      const { status, body, headers } = await sendRaw(
        app.port,
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      );

      expect(status).toBe(400);
      expect(JSON.parse(body)).toEqual({ status: 400, message: 'The URL does not decode' });
      expect(headers['x-request-id']).toMatch(UUID);
    },
  );
});

describe('What never becomes a request', () => {
  const app = useTestApp();

  it.each([
    ['a malformed request line', 'NONSENSE\r\n\r\n', 400],
    ['an unknown method', 'FROB / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['an unknown protocol version', 'GET / HTTP/9.9\r\nHost: x\r\n\r\n', 400],
    ['a header field without a name', 'GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n', 400],
    [
      'two ways to tell the length',
      'PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
      400,
    ],
    ['two lengths', 'PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}', 400],
    ['no Host', 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['CONNECT', 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n', 405],
    ['oversized header fields', `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    ['a TLS handshake', Buffer.from('16030100f8010000f40303', 'hex'), 400],
  ])('is answered as an ErrorResponse in JSON: %s', async (_, bytes, status) => {
    const answer = await sendRaw(app.port, bytes);

    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toEqual({ status, message: expect.any(String) });
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.headers['x-request-id']).toMatch(UUID);
    expect(answer.headers.connection).toBe('close');
  });

  it('408 for a request that does not end in time', async () => {
    const server = app.nest.getHttpServer();
    const answer = sendRaw(app.port, 'GET /livez HTTP/1.1\r\nHost: x\r\n');
    const [socket] = await new Promise<[NodeJS.EventEmitter]>((resolve) => {
      server.once('connection', (...given: [NodeJS.EventEmitter]) => {
        resolve(given);
      });
    });

    // What Node emits when `requestTimeout` is over, without waiting for it.
    server.emit(
      'clientError',
      Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
      socket,
    );

    expect((await answer).status).toBe(408);
    expect(JSON.parse((await answer).body)).toEqual({ status: 408, message: 'Request Timeout' });
  });

  it('answers first, and in its turn, a request that came whole before', async () => {
    const ada = await app.given.user();
    const body = '{"name":"Written"}';
    const patch = `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${ada.key}\r\nContent-Type: application/json\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`;

    for (const next of ['NONSENSE\r\n\r\n', 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n']) {
      const text = await readRaw(app.port, patch + patch + next);

      expect(text.match(/HTTP\/1.1 \d{3}/g)).toEqual([
        'HTTP/1.1 200',
        'HTTP/1.1 200',
        expect.stringMatching(/40[05]$/),
      ]);
    }
  });

  it.each(['http://[/v1/users/me', 'http:///', 'mailto:x', 'x'])(
    '400 for a target that is no URL: %s',
    async (target) => {
      const { status, headers, body } = await sendRaw(
        app.port,
        `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      );

      expect([status, headers['content-type']]).toEqual([400, 'application/json; charset=utf-8']);
      expect(JSON.parse(body)).toEqual({ status: 400, message: expect.any(String) });
      expect(headers['x-request-id']).toMatch(UUID);
    },
  );

  it('200 for a target in absolute form', async () => {
    const { status } = await sendRaw(
      app.port,
      'GET http://EXAMPLE.com:80/livez?x HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n',
    );

    expect(status).toBe(200);
  });

  it('tells a caller to send its body only once its key and its header fields have passed', async () => {
    const ada = await app.given.user();
    const head = (key: string, length: number): string =>
      `PATCH /v1/users/me HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\nContent-Type: application/json\r\nContent-Length: ${String(length)}\r\nExpect: 100-continue\r\n\r\n`;

    const refused = await readRaw(app.port, head('made-up', 2));
    const tooLarge = await readRaw(app.port, head(ada.key, 20_000));
    const admitted = await readRaw(app.port, head(ada.key, 2), '{}');

    expect(refused).toMatch(/^HTTP\/1.1 401 [\s\S]*Connection: close/);
    expect(tooLarge).toMatch(/^HTTP\/1.1 413 [\s\S]*Connection: close/);
    expect(admitted).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /);
  });

  it('401 for a key that is sent twice, the second time behind thousands of other fields', async () => {
    const { key } = await app.given.user();

    const { status } = await sendRaw(
      app.port,
      `GET /v1/users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nx-api-key: ${key}\r\n${'a:\r\n'.repeat(2100)}x-api-key: ${key}\r\n\r\n`,
    );

    expect(status).toBe(401);
  });

  it('leaves the server serving', async () => {
    await Promise.all(Array.from({ length: 50 }, () => sendRaw(app.port, 'NONSENSE\r\n\r\n')));

    expect((await app.anyone().get('/livez')).status).toBe(200);
  });
});

describe('X-Request-Id', () => {
  const app = useTestApp();

  it.each(['abc', '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90', 'Root=1-67a2/self', 'x'.repeat(128)])(
    'is kept when it is well-formed: %s',
    async (id) => {
      const response = await app.anyone().get('/livez').set('X-Request-Id', id);

      expect(response.headers['x-request-id']).toBe(id);
    },
  );

  it.each(['', 'a b', '<script>', 'x'.repeat(129), '"quoted"', 'a,b'])(
    'is made anew when it is not: %s',
    async (id) => {
      const response = await app.anyone().get('/livez').set('X-Request-Id', id);

      expect(response.headers['x-request-id']).toMatch(UUID);
    },
  );

  // A caller that mixes up its headers must not have its key sent back and logged.
  it('is made anew when it is an API key', async () => {
    const { key } = await app.given.user();

    const response = await app.anyone().get('/livez').set('X-Request-Id', key);

    expect(response.headers['x-request-id']).toMatch(UUID);
  });

  it.each(['/livez', '/readyz', '/docs', '/docs-json', '/docs/swagger-ui.css', '/v1/users/me', '/nope'])(
    'stands on the answer of %s',
    async (path) => {
      const response = await app.anyone().get(path);

      expect(response.headers['x-request-id']).toMatch(UUID);
    },
  );
});

describe('A bug', () => {
  @Controller()
  class BuggyController {
    @Get('bug')
    bug(): never {
      throw new TypeError('secret insides of ua_0000000000000000000000000000000000000000000000000');
    }

    @Get('sql')
    sql(): never {
      throw new QueryFailedError(
        'SELECT secret FROM insides',
        ['parameter'],
        Object.assign(new Error('syntax error'), { code: '42601' }),
      );
    }

    @Get('throws-null')
    nothing(): never {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- that is the point
      throw null;
    }
  }

  @Module({ controllers: [BuggyController] })
  class BuggyModule {}

  let app: NestExpressApplication;
  const lines: string[] = [];

  beforeAll(async () => {
    app = await createAppOf(BuggyModule, { logger: pino({}, { write: (line: string) => void lines.push(line) }) });
    await app.listen(0, '127.0.0.1');
  });
  afterAll(() => app.close());

  it.each(['/bug', '/sql', '/throws-null'])('500 shows nothing of its insides, but its id: %s', async (path) => {
    const response = await request(app.getHttpServer()).get(path);

    expect(response.status).toBe(500);
    expect(response.body).toEqual({ status: 500, message: 'Internal server error' });
    expect(lines.some((line) => line.includes(`"request_id":"${response.headers['x-request-id'] ?? 'none'}"`))).toBe(
      true,
    );
  });
});

describe('A database that cannot be reached', () => {
  const expectUnavailable = ({
    body,
    headers,
  }: {
    body: unknown;
    headers: Record<string, string | undefined>;
  }): void => {
    expect(body).toEqual({ status: 503, message: 'The service is temporarily unavailable' });
    expect(headers['retry-after']).toBe('1');
  };

  it.each(['refuse', 'silence'] as const)(
    '503 with Retry-After, never 401 or 500, while its connections %s; the process lives on, and all is well again without a restart',
    async (failure) => {
      const database = await createDatabase();
      const proxy = await startProxy(database.url);
      const app = await startTestApp(proxy.url);
      const ada = await app.given.user();

      proxy[failure]();
      const answers = [
        await app.as(ada).get('/v1/users/me').retry(0),
        await app.as(ada).patch('/v1/users/me').send({ name: 'New' }).retry(0),
        await app.anyone().get('/readyz').retry(0),
      ];
      const live = await app.anyone().get('/livez');
      proxy.restore();
      const back = await app.as(ada).get('/v1/users/me');

      answers.forEach(expectUnavailable);
      expect(live.status).toBe(200);
      expect(back.body).toMatchObject({ id: ada.id, name: 'Dull Default' });
      await app.nest.close();
      await proxy.close();
      await database.drop();
    },
  );

  // A proxy opens a connection for each request, or sends many on one that it keeps.
  it.each([
    ['a connection for each request', { keepAlive: false }, 'close', [false, false, false]],
    ['one connection that is kept', { keepAlive: true, maxSockets: 1 }, 'keep-alive', [false, true, true]],
  ] as const)('503 with Retry-After for a proxy with %s', async (_, options, connection, reused) => {
    const database = await createDatabase();
    const wire = await startProxy(database.url);
    const app = await startTestApp(wire.url, { TRUST_PROXY: '1' });
    const ada = await app.given.user();
    const agent = new Agent(options);
    const send = async (method: string, path: string, body = '') => {
      const headers = {
        'x-forwarded-for': '192.0.2.1',
        'x-api-key': ada.key,
        ...(body !== '' && { 'content-type': 'application/json', 'content-length': body.length }),
      };
      const sent = httpRequest({ port: app.port, method, path, headers, agent }).end(body);
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      const text = await response.setEncoding('utf8').reduce((all: string, part: string) => all + part, '');
      return { status: response.statusCode, headers: response.headers, body: text, reused: sent.reusedSocket };
    };

    wire.refuse();
    const answers = [
      await send('GET', '/v1/users/me'),
      await send('PATCH', '/v1/users/me', '{"name":"New"}'),
      await send('GET', '/v1/users/me'),
    ];
    agent.destroy();

    for (const { status, headers, body } of answers) {
      expect(status).toBe(503);
      expectUnavailable({ body: JSON.parse(body) as unknown, headers: headers as Record<string, string> });
      expect(headers.connection).toBe(connection);
    }
    expect(answers.map((answer) => answer.reused)).toEqual(reused);
    await app.nest.close();
    await wire.close();
    await database.drop();
  });

  it('503 for a request whose connection is reset before the database has answered, and the process lives on', async () => {
    const database = await createDatabase();
    const proxy = await startProxy(database.url);
    const app = await startTestApp(proxy.url);
    const ada = await app.given.user();

    proxy.loseAnswers();
    const during = await app.as(ada).get('/v1/users/me').retry(0);
    const after = await app.as(ada).get('/v1/users/me');

    expectUnavailable(during);
    expect(after.status).toBe(200);
    await app.nest.close();
    await proxy.close();
    await database.drop();
  });

  it('503 once for connections whose other end is gone without a word, of which none is lent again', async () => {
    const database = await createDatabase();
    const proxy = await startProxy(database.url);
    const app = await startTestApp(proxy.url);
    const ada = await app.given.user();

    await patiently(() =>
      Promise.all(Array.from({ length: 5 }, () => app.nest.get(DataSource).query('SELECT pg_sleep(0.05)'))),
    ); // so the pool has five connections

    proxy.forget(); // the connections that there are hang for ever; new ones work
    const statuses: number[] = [];
    for (let turn = 0; turn < 5; turn += 1) statuses.push((await app.as(ada).get('/v1/users/me').retry(0)).status);

    expect(statuses).toEqual([503, 200, 200, 200, 200]);
    await app.nest.close();
    await proxy.close();
    await database.drop();
  });

  it('503 for a request that waits for a row, sent while the row is still locked, and nothing is written', async () => {
    const database = await createDatabase();
    const app = await startTestApp(database.url);
    const ada = await app.given.user();
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [ada.id]);

    const answer = await app.as(ada).patch('/v1/users/me').send({ name: 'New' }).retry(0);
    await release();

    expectUnavailable(answer);
    expect(await app.stored(ada)).toEqual(ada.row);
    await app.nest.close();
    await database.drop();
  });
});
