import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { pino } from 'pino';
import { DataSource, QueryFailedError } from 'typeorm';
import request from 'supertest';
import { APP_OPTIONS, setUpApp } from '../src/app.setup.js';
import { useTestApp } from './support/app.js';
import { sendRaw } from './support/raw-http.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('A request that no handler takes', () => {
  const app = useTestApp();

  it.each(['/', '/v1', '/v1/users/me/nope', '/v2/users/me', '/users/me', '/docs/nope', '/v1/users/me%2f'])(
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
    ['/livez', 'post', 'GET, HEAD'],
    ['/docs-json', 'delete', 'GET, HEAD'],
  ] as const)('405 for %s %s names the allowed methods, before it asks for a key', async (path, method, allow) => {
    const response = await app.anyone()[method](path);

    expect(response.status).toBe(405);
    expect(response.body).toEqual({ status: 405, message: `This route takes only ${allow}` });
    expect(response.headers.allow).toBe(allow);
  });

  it.each(['/%', '/v1/users/%E0%A4%A', '/docs/%ff'])('400 for a URL that does not decode: %s', async (path) => {
    const { status, body, headers } = await sendRaw(
      app.port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );

    expect(status).toBe(400);
    expect(JSON.parse(body)).toEqual({ status: 400, message: 'The URL does not decode' });
    expect(headers['x-request-id']).toMatch(UUID);
  });
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
    app = await NestFactory.create<NestExpressApplication>(BuggyModule, { ...APP_OPTIONS, logger: false });
    setUpApp(app, pino({}, { write: (line: string) => void lines.push(line) }));
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
  const app = useTestApp();

  it('503 with Retry-After for requests and readiness, never 401 or 500, while the process lives on; then all is well again', async () => {
    const ada = await app.given.user();
    const pool = app.nest.get(DataSource).driver as unknown as {
      master: { options: { connectionString?: string }; options_: unknown };
    };
    const { options } = pool.master;
    const { connectionString = '' } = options;

    options.connectionString = 'postgresql://nobody:nothing@127.0.0.1:1/nowhere';
    await app.given
      .sql(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
      )
      .catch(() => undefined);
    await app.given.sql('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => undefined);
    const answers = await Promise.all([
      app.as(ada).get('/v1/users/me'),
      app.as(ada).patch('/v1/users/me').send({ name: 'New' }),
      app.anyone().get('/readyz'),
    ]);
    const live = await app.anyone().get('/livez');
    options.connectionString = connectionString;
    const back = await app.as(ada).get('/v1/users/me');

    for (const answer of answers) {
      expect(answer.body).toEqual({ status: 503, message: 'The service is temporarily unavailable' });
      expect(answer.headers['retry-after']).toBe('1');
    }
    expect(live.status).toBe(200);
    expect(back.body).toMatchObject({ id: ada.id, name: 'Dull Default' });
  });
});
