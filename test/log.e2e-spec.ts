import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { scrape } from './support/metrics.js';
import { sendRaw } from './support/raw-http.js';
import { Programs, type RunningServer } from './support/server-process.js';

const run = promisify(execFile);

describe('The log', () => {
  let programs: Programs;
  let database: TestDatabase;
  let server: RunningServer;
  let key: string;

  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
    database = await createDatabase();
    const env = { DATABASE_URL: database.url, LOG_LEVEL: 'trace', METRICS_PORT: '0' };
    const made = await programs.cli(['users', 'create', '--email', 'ada@example.com', '--name', 'Ada', '--json'], env);
    key = (JSON.parse(made.stdout) as { api_key: string }).api_key;
    server = await programs.startServer(env);
  });
  afterAll(async () => {
    await programs.dispose();
    await database.drop();
  });

  const linesAbout = async (id: string): Promise<Record<string, unknown>[]> => {
    // A later request's line is written after those of all earlier ones.
    await fetch(`${server.url}/livez`, { headers: { 'x-request-id': `after-${id}` } });
    for (;;) {
      const lines = server
        .output()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      if (lines.some((line) => line.request_id === `after-${id}`))
        return lines.filter((line) => line.request_id === id);
      await new Promise(setImmediate);
    }
  };

  it('has one JSON line a request: method, route, status, duration, address and the ids of request, user and key', async () => {
    const answer = await fetch(`${server.url}/v1/users/me?secret=1`, {
      headers: { 'x-api-key': key, 'x-request-id': 'read-1' },
    });
    const { id } = (await answer.json()) as { id: string };
    const [stored] = await administer<{ id: string }>('SELECT id FROM api_keys', database.directUrl);

    const lines = await linesAbout('read-1');

    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.any(String),
        request_id: 'read-1',
        method: 'GET',
        route: '/v1/users/me',
        status: 200,
        duration_ms: expect.any(Number),
        user_id: id,
        key_id: stored?.id,
        address: '127.0.0.1',
        msg: 'GET /v1/users/me 200',
      },
    ]);
  });

  it('names the address but no user and no key for a refused key, even one that is known, and no URL for an unknown route', async () => {
    await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': 'made-up', 'x-request-id': 'refused-1' } });
    await fetch(`${server.url}/where/ever`, { headers: { 'x-api-key': key, 'x-request-id': 'unknown-1' } });

    const made = await fetch(`${server.url}/v1/api-keys`, {
      method: 'POST',
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'ended', expires_at: '2999-01-01T00:00:00Z' }),
    });
    const { secret } = (await made.json()) as { secret: string };
    for (const id of ['ends-1', 'refused-2'])
      await fetch(`${server.url}/v1/api-keys/current`, {
        method: 'DELETE',
        headers: { 'x-api-key': secret, 'x-request-id': id },
      });

    for (const [id, route] of [
      ['refused-1', '/v1/users/me'],
      ['refused-2', '/v1/api-keys/current'],
    ] as const) {
      const [line, ...others] = await linesAbout(id);
      expect(line).toMatchObject({ status: 401, route, address: '127.0.0.1' });
      expect([line?.user_id, line?.key_id, others]).toEqual([undefined, undefined, []]);
    }
    expect((await linesAbout('ends-1'))[0]).toHaveProperty('key_id');
    expect(await linesAbout('unknown-1')).toEqual([expect.objectContaining({ status: 404, route: null })]);
  });

  it('and the answers never hold a key, a header or a body, whatever is sent and wherever it fails', async () => {
    const { port } = new URL(server.url);
    const canary = 'canary-7f3a';
    const json = { 'content-type': 'application/json' };
    const calls: [string, string, Record<string, string>, string?][] = [
      ['GET', `/v1/users/me?${canary}=${key}`, {}],
      ['GET', `/${canary}/${key}`, {}],
      ['GET', `/v1/users/me/${key}?x=${canary}`, {}],
      ['DELETE', `/v1/users/me?${canary}=${key}`, {}],
      ['GET', `/docs/${key}-${canary}`, {}],
      [
        'GET',
        '/v1/users/me',
        {
          'x-api-key': key,
          'x-canary': canary,
          cookie: `${canary}=${key}`,
          'user-agent': key,
          referer: `http://${canary}/${key}`,
        },
      ],
      ['GET', '/v1/users/me', { 'x-api-key': `${key}x` }],
      ['GET', '/v1/users/me', { 'x-api-key': key, 'x-request-id': key }],
      ['GET', '/v1/users/me', { authorization: `Bearer ${key}` }],
      ['PATCH', '/v1/users/me', { 'x-api-key': key, ...json }, JSON.stringify({ name: `${canary}\u0000` })],
      ['PATCH', '/v1/users/me', { 'x-api-key': key, ...json }, JSON.stringify({ [key]: canary })],
      ['PATCH', '/v1/users/me', { 'x-api-key': key, ...json }, `{"${key}":1,"${key}":"${canary}"}`],
      ['PATCH', '/v1/users/me', { 'x-api-key': key, ...json }, `{"name":"${canary}" ${key}`],
      ['PATCH', '/v1/users/me', { 'x-api-key': key, ...json, 'if-match': `"${canary}${key}"` }, '{"name":"x"}'],
      ['PATCH', '/v1/users/me', { 'x-api-key': key, 'content-type': `${canary}/${key}` }, canary],
      ['PATCH', '/v1/users/me', { 'x-api-key': key, ...json }, JSON.stringify({ name: canary.repeat(5000) })],
      ['PATCH', '/v1/users/me', json, JSON.stringify({ name: canary })],
    ];

    const texts: string[] = [];
    for (const [method, path, headers, body] of calls) {
      const answer = await fetch(server.url + path, { method, headers, ...(body !== undefined && { body }) });
      texts.push(JSON.stringify([...answer.headers]) + (await answer.text()));
    }
    for (const bytes of [
      `GET /${canary} ${key} HTTP/1.1\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\n${canary}\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\nX-Long: ${canary.repeat(2000)}\r\n\r\n`,
      `GET /%${key}${canary} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      `CONNECT ${canary}:1 HTTP/1.1\r\nHost: x\r\nx-api-key: ${key}\r\n\r\n`,
    ]) {
      texts.push(JSON.stringify(await sendRaw(Number(port), bytes)));
    }
    // What the API itself fails at: the statement dies while the request waits for it.
    await Promise.all([
      fetch(`${server.url}/v1/users/me`, {
        method: 'PATCH',
        headers: { 'x-api-key': key, ...json, 'x-request-id': 'last' },
        body: '{"name":"Ok"}',
      }).then(async (answer) => texts.push(await answer.text())),
    ]);
    await linesAbout('last');

    expect(texts.filter((text) => text.includes(key))).toEqual([]);
    expect(texts.filter((text) => text.includes(canary))).toEqual([]);
    expect(server.output()).not.toContain(key);
    expect(server.output()).not.toContain(canary);
    expect(server.output()).not.toMatch(/x-api-key|user-agent/i);
  });

  it('like the metrics and every column of the database, never holds a secret, however it was made or refused', async () => {
    const json = { 'content-type': 'application/json' };
    const post = async (path: string, body: object, as = key): Promise<string> => {
      const headers = { 'x-api-key': as, ...json, 'x-request-id': `secret-${path.replaceAll('/', '-')}` };
      const answer = await fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
      return ((await answer.json()) as { secret: string }).secret;
    };
    const expires_at = '2999-01-01T00:00:00Z';
    const made = await post('/v1/api-keys', { name: 'laptop', expires_at });
    const rotated = await post('/v1/api-keys/laptop/rotate', { expires_at, overlap_seconds: 3600 });
    await post('/v1/api-keys', { name: 'made-with-the-old-one', expires_at }, made);
    await fetch(`${server.url}/v1/api-keys/current`, { method: 'DELETE', headers: { 'x-api-key': rotated } });
    await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': made } }); // refused from now on
    await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key, 'x-request-id': key } });
    await linesAbout('secret-over');

    const [, metricsPort = ''] = await server.says(/Metrics on port (\d+)/);
    const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
    const tables = await administer<{ table: string }>(
      `SELECT tablename AS table FROM pg_tables WHERE schemaname = 'public'`,
      database.directUrl,
    );
    const rows: string[] = [];
    for (const { table } of tables)
      for (const { row } of await administer<{ row: string }>(
        `SELECT t::text AS row FROM ${table} t`,
        database.directUrl,
      ))
        rows.push(row);
    const stored = rows.join('\n');

    expect(tables.length).toBeGreaterThanOrEqual(6);
    for (const { id } of await administer<{ id: string }>('SELECT id FROM api_keys', database.directUrl))
      expect(stored).toContain(id); // so that it is really the rows that were read
    expect(metrics).toContain('users_api_authentication_refusals_total{reason="revoked"} ');
    for (const secret of [key, made, rotated]) {
      const random = secret.slice(8); // an owner may see the eight characters before
      for (const text of [random, Buffer.from(secret).toString('hex'), Buffer.from(secret).toString('base64')]) {
        expect(stored).not.toContain(text);
        expect(metrics).not.toContain(text);
        expect(server.output()).not.toContain(text);
      }
    }
  });

  it('says once why the database fails requests, and with each of them', async () => {
    const [, metricsPort = ''] = await server.says(/Metrics on port (\d+)/);
    await administer(
      `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$`,
      database.directUrl,
    );
    await administer(
      'CREATE TRIGGER fail BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail()',
      database.directUrl,
    );

    const statuses: number[] = [];
    for (const name of ['one', 'two', 'three']) {
      const answer = await fetch(`${server.url}/v1/users/me`, {
        method: 'PATCH',
        headers: { 'x-api-key': key, 'content-type': 'application/json', 'x-request-id': `full-${name}` },
        body: JSON.stringify({ name }),
      });
      statuses.push(answer.status);
    }
    await administer('DROP FUNCTION fail CASCADE', database.directUrl);

    const lines = await linesAbout('full-one');
    expect(statuses).toEqual([503, 503, 503]);
    expect(lines).toContainEqual(expect.objectContaining({ level: 'error', status: 503, reason: 'full' }));
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        reason: 'full',
        msg: 'Requests fail: the disk of the database is full',
      }),
    );
    expect(await linesAbout('full-three')).toContainEqual(expect.objectContaining({ status: 503, reason: 'full' }));
    expect(server.output().match(/Requests fail: /g)).toHaveLength(1);
    expect((await scrape(Number(metricsPort))).get('users_api_database_failures_total{reason="full"}')).toBe(3);
  });

  it('tells of a lost database without its password, its SQL or its parameters', async () => {
    const lost = await createDatabase();
    const other = await programs.startServer({
      DATABASE_URL: lost.url.replace('//', '//').replace(/\?.*$/, ''),
      LOG_LEVEL: 'trace',
    });
    await lost.drop();

    const answer = await fetch(`${other.url}/readyz`, { headers: { 'x-request-id': 'lost-1' } });
    const ended = await other.end('SIGTERM');

    expect(answer.status).toBe(503);
    expect(ended.stdout).toContain('"request_id":"lost-1"');
    expect(ended.stdout).not.toMatch(/SELECT|postgresql:\/\//);
    expect(ended.code).toBe(0);
  });

  it('names the address that a trusted proxy tells, without its port, and that of the connection where it tells none', async () => {
    const behind = await programs.startServer({ DATABASE_URL: database.url, TRUST_PROXY: '1' });
    const told = ['203.0.113.10', '203.0.113.10:40001', '[2001:db8::1]:40001', `canary-${key}`];

    for (const address of told) await fetch(`${behind.url}/v1/users/me`, { headers: { 'x-forwarded-for': address } });
    const { stdout } = await behind.end('SIGTERM');

    const addresses = stdout.split('\n').flatMap((line) => {
      const { status, address } = line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : {};
      return status === 401 ? [address] : [];
    });
    expect(addresses).toEqual(['203.0.113.10', '203.0.113.10', '2001:db8:0:0:0:0:0:1', '127.0.0.1']);
    expect(stdout).not.toContain('canary');
  });

  it('has a line for a health check only when the answer is another than before', async () => {
    const own = await createDatabase();
    const checked = await programs.startServer({ DATABASE_URL: own.url });
    const name = new URL(own.directUrl).pathname.slice(1);
    const ask = async (path: string): Promise<number> => (await fetch(checked.url + path)).status;
    const reconnect = (readOnly: 'on' | 'off') =>
      administer(
        `ALTER DATABASE ${name} SET default_transaction_read_only = ${readOnly};
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`,
      );

    for (let turn = 0; turn < 20; turn += 1) expect([await ask('/readyz'), await ask('/livez')]).toEqual([200, 200]);
    await reconnect('on');
    for (let turn = 0; turn < 20; turn += 1) expect([await ask('/readyz'), await ask('/livez')]).toEqual([503, 200]);
    await reconnect('off');
    while ((await ask('/readyz')) !== 200);
    for (let turn = 0; turn < 20; turn += 1) expect(await ask('/readyz')).toBe(200);
    const { stdout } = await checked.end('SIGTERM');
    await own.drop();

    const lines = stdout
      .split('\n')
      .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));
    const answers = lines
      .filter(({ route }) => route !== undefined)
      .map(({ level, route, status }) => [level, route, status]);
    expect(answers).toEqual([
      ['info', '/readyz', 200],
      ['info', '/livez', 200],
      ['error', '/readyz', 503],
      ['info', '/readyz', 200],
    ]);
    expect(lines.filter(({ request_id, err }) => request_id !== undefined && err !== undefined)).toHaveLength(1);
  });

  it.each([false, true])('hides a key that slips into a message, with LOG_PRETTY=%p', async (pretty) => {
    const program = `
      const { createLogger } = await import('./dist/src/common/logging/logger.js');
      const logger = await createLogger({ level: 'info', pretty: ${String(pretty)} });
      logger.info({ err: new Error('not ${key}') }, 'with ${key}');`;

    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program]);

    expect(stdout).toContain('with ua_[redacted]');
    expect(stdout).toContain('not ua_[redacted]');
    expect(stdout).not.toContain(key);
  });
});
