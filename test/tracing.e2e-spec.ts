import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateApiKey } from '../src/common/api-key-format.js';
import { Collector, type ReceivedSpan } from './support/collector.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { freePort } from './support/ports.js';
import { Programs, type RunningServer } from './support/server-process.js';

const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;

/** As the caller's own tracing would say it. */
const caller = (number: number): { traceId: string; spanId: string; traceparent: string } => {
  const traceId = number.toString(16).padStart(32, 'a');
  const spanId = number.toString(16).padStart(16, 'b');
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-01` };
};

/** What Node writes for NODE_V8_COVERAGE, as far as it is read here. */
interface Coverage {
  readonly 'source-map-cache': Readonly<Record<string, { readonly data: { readonly sources: readonly string[] } }>>;
}

describe('Traces', () => {
  const key = generateApiKey();
  let programs: Programs;
  let database: TestDatabase;
  let collector: Collector;

  beforeEach(async () => {
    [programs, database, collector] = await Promise.all([
      Programs.inEmptyDirectory(),
      createDatabase(),
      Collector.start(),
    ]);
  });
  afterEach(async () => {
    await programs.dispose();
    await collector.close();
    await database.drop();
  });

  const start = (env: NodeJS.ProcessEnv): Promise<RunningServer> =>
    programs.startServer({ DATABASE_URL: database.url, BOOTSTRAP_ADMIN_KEY: key, ...env });
  const startTraced = (env: NodeJS.ProcessEnv = {}): Promise<RunningServer> =>
    start({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', ...env });
  const call = async (
    { url }: RunningServer,
    path: string,
    { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: object } = {},
  ): Promise<number> => {
    const response = await fetch(url + path, {
      method,
      headers: { 'x-api-key': key, ...(body && { 'content-type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
    });
    await response.arrayBuffer();
    return response.status;
  };
  const spansOf = (traceId: string, kind: number): ReceivedSpan[] =>
    collector.spans.filter((span) => span.traceId === traceId && span.kind === kind);

  it("continue the caller's from the request to its SQL, whose id the log has, and are complete when the process ends", async () => {
    const { traceId, spanId, traceparent } = caller(1);
    const server = await startTraced();

    await call(server, '/v1/users/me', { method: 'PATCH', headers: { traceparent }, body: { name: 'Ada Lovelace' } });
    const { code, stdout } = await server.end('SIGTERM');

    const [request, ...others] = spansOf(traceId, SERVER);
    const statements = spansOf(traceId, CLIENT);
    const line = stdout.split('\n').find((text) => text.includes('"method":"PATCH"')) ?? '{}';
    expect(code).toBe(0);
    expect(others).toEqual([]);
    expect(request).toMatchObject({ parentSpanId: spanId, name: 'PATCH /v1/users/me', status: { code: 0 } });
    expect(request?.attributes).toEqual({
      'http.request.method': 'PATCH',
      'url.scheme': 'http',
      'http.route': '/v1/users/me',
      'http.response.status_code': 200,
    });
    expect(statements.map(({ parentSpanId }) => parentSpanId)).toEqual([request?.spanId, request?.spanId]);
    expect(statements.map(({ attributes }) => attributes)).toEqual(
      [/\$1::bytea\[\].* FROM api_keys /s, /UPDATE users\s.*\$2::text\[\]/s].map((text) => ({
        'db.system.name': 'postgresql',
        'db.query.text': expect.stringMatching(text),
        'db.namespace': new URL(database.url).pathname.slice(1),
        'server.address': new URL(database.url).hostname,
        'server.port': Number(new URL(database.url).port),
      })),
    );
    expect(collector.resources[0]).toMatchObject({ 'service.name': 'users-api' });
    expect(JSON.parse(line)).toMatchObject({ trace_id: traceId, status: 200 });
  });

  it('have the SQL of each request, also where requests share a statement', async () => {
    const callers = Array.from({ length: 20 }, (_, number) => caller(number + 1));
    const server = await startTraced();

    await Promise.all(callers.map(({ traceparent }) => call(server, '/v1/users/me', { headers: { traceparent } })));
    await server.end('SIGTERM');

    for (const { traceId } of callers) {
      const [request] = spansOf(traceId, SERVER);
      expect(spansOf(traceId, CLIENT).map(({ parentSpanId }) => parentSpanId)).toEqual([
        request?.spanId,
        request?.spanId,
      ]);
    }
  });

  it('have the SQL that runs through TypeORM, in transactions and out of them', async () => {
    const { traceId, traceparent } = caller(1);
    const server = await startTraced({ NEW_USER_CREDITS: '5' });

    const body = { name: 'Grace Hopper', email: 'grace@example.com' };
    const status = await call(server, '/v1/users', { method: 'POST', headers: { traceparent }, body });
    await server.end('SIGTERM');

    const [, ...names] = spansOf(traceId, CLIENT).map(({ name }) => name);
    expect(status).toBe(201);
    expect(names).toEqual(['START', 'WITH', 'SAVEPOINT', 'SELECT', 'move_credits', 'RELEASE', 'SELECT', 'COMMIT']);
  });

  it('never hold keys, addresses, values, URLs or headers, whatever is sent and wherever it fails', async () => {
    const canary = 'canary-7f3a';
    const server = await startTraced();

    const statuses = [
      await call(server, `/v1/users/me?${canary}=${key}`),
      await call(server, `/${canary}/${key}`),
      await call(server, `/v1/api-keys/${canary}`),
      await call(server, '/v1/users/me', {
        headers: {
          traceparent: caller(1).traceparent,
          tracestate: `key=${key}`,
          'user-agent': key,
          referer: `http://${canary}/${key}`,
        },
      }),
      await call(server, '/v1/users/me', { headers: { traceparent: `${canary}-${key}` } }),
      await call(server, '/v1/users/me', { method: 'PATCH', body: { name: canary } }),
      await call(server, '/v1/users/me', { method: 'PATCH', body: { [canary]: key } }),
      // The database refuses this one, in words that quote the address.
      await call(server, '/v1/users', { method: 'POST', body: { name: canary, email: 'admin@example.com' } }),
      await call(server, `/v1/users?email=${canary}@example.com`),
    ];
    await server.end('SIGTERM');

    const sent = Buffer.concat(collector.requests.map(({ body }) => body)).toString();
    expect(statuses).toEqual([200, 404, 404, 200, 200, 200, 400, 409, 200]);
    expect(collector.spans.filter(({ kind }) => kind === SERVER)).toHaveLength(statuses.length);
    expect(collector.spans).toContainEqual(
      expect.objectContaining({
        status: { code: ERROR },
        attributes: expect.objectContaining({ 'db.response.status_code': '23505', 'error.type': '23505' }),
      }),
    );
    expect(sent).not.toContain(key);
    expect(sent).not.toContain(canary);
    expect(sent).not.toMatch(/@example\.com|x-api-key|user-agent|tracestate|traceState/i);
  });

  it('mark failures that are ours, and leave out probes', async () => {
    const { traceId, traceparent } = caller(1);
    const server = await startTraced();
    await call(server, '/livez', { headers: { traceparent } });
    await call(server, '/readyz', { headers: { traceparent } });
    await database.drop();

    const status = await call(server, '/v1/users/me', { headers: { traceparent } });
    await server.end('SIGTERM');
    database = await createDatabase(); // for afterEach to drop

    expect(status).toBe(503);
    expect(spansOf(traceId, SERVER)).toEqual([
      expect.objectContaining({
        name: 'GET /v1/users/me',
        status: { code: ERROR },
        attributes: expect.objectContaining({ 'http.response.status_code': 503, 'error.type': '503' }),
      }),
    ]);
  });

  it('go out as protobuf unless told otherwise, and heed the standard variables', async () => {
    const { traceId, traceparent } = caller(1);
    const server = await start({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/here`,
      OTEL_SERVICE_NAME: 'users-of-ours',
    });

    await call(server, '/v1/users/me', { headers: { traceparent } });
    await server.end('SIGTERM');

    const [request, ...others] = collector.requests;
    expect(others).toEqual([]);
    expect(request).toMatchObject({ url: '/here', type: 'application/x-protobuf' });
    expect(request?.body.includes(Buffer.from(traceId, 'hex'))).toBe(true);
    expect(request?.body.includes('users-of-ours')).toBe(true);
  });

  it.each([
    ['refuses', async () => `http://127.0.0.1:${String(await freePort())}`],
    ['is silent', () => Promise.resolve(undefined)],
  ])('cost no request anything where the collector %s, and one line in the log', async (_, where) => {
    const silent = await Collector.start({ answers: false });
    const server = await startTraced({
      OTEL_EXPORTER_OTLP_ENDPOINT: (await where()) ?? silent.url,
      OTEL_EXPORTER_OTLP_TIMEOUT: '100',
      OTEL_BSP_SCHEDULE_DELAY: '1',
    });

    const statuses = [await call(server, '/v1/users/me')];
    await server.says(/Spans could not be sent/);
    for (let more = 0; more < 20; more += 1) statuses.push(await call(server, '/v1/users/me'));
    const { code, stdout } = await server.end('SIGTERM');
    await silent.close();

    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(stdout.match(/"level":"warn"/g)).toHaveLength(1);
    expect(code).toBe(0);
  });

  it('let a process end in time whose collector would take an hour', async () => {
    const silent = await Collector.start({ answers: false });
    const server = await startTraced({
      OTEL_EXPORTER_OTLP_ENDPOINT: silent.url,
      OTEL_EXPORTER_OTLP_TIMEOUT: '3600000', // longer than this test may take
    });
    await call(server, '/v1/users/me');

    const { code } = await server.end('SIGTERM');
    await silent.close();

    expect(code).toBe(0);
    expect(silent.requests).toHaveLength(1);
  });

  it('are left out, with a warning, where a protocol is asked for that is not known here', async () => {
    const server = await startTraced({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' });

    const status = await call(server, '/v1/users/me');
    const { stdout } = await server.end('SIGTERM');

    expect(status).toBe(200);
    expect(stdout).toMatch(/"level":"warn".*Traces are disabled: OTLP over grpc/);
    expect(stdout).not.toContain('trace_id');
    expect(collector.requests).toEqual([]);
  });

  it.each([
    ['no endpoint is given', 'off', {}],
    ['OTEL_SDK_DISABLED=true', 'off', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_SDK_DISABLED: 'true' }],
    [
      'OTEL_TRACES_EXPORTER=none',
      'off',
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_TRACES_EXPORTER: 'none' },
    ],
    ['an endpoint is given', 'on', { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }],
  ])('load nothing of OpenTelemetry but where they are on: %s', async (_, expected, env) => {
    const lists = join(programs.cwd, 'coverage'); // for which Node writes down each module that was loaded, with its sources
    const server = await start({ ...env, NODE_V8_COVERAGE: lists });

    await call(server, '/v1/users/me');
    const { stdout } = await server.end('SIGTERM');
    const texts = await Promise.all((await readdir(lists)).map((name) => readFile(join(lists, name), 'utf8')));
    const modules = texts.flatMap((text) => {
      const sources = (JSON.parse(text) as Coverage)['source-map-cache'];
      return Object.values(sources).flatMap(({ data }) => data.sources);
    });

    const packages = new Set(
      modules.flatMap((source) => /node_modules\/(@opentelemetry\/[^/]+)/.exec(source)?.[1] ?? []),
    );
    packages.delete('@opentelemetry/api'); // prom-client loads it, whether there are traces or not
    expect(modules.some((source) => source.includes('prom-client'))).toBe(true);
    expect(packages.has('@opentelemetry/sdk-trace-base')).toBe(expected === 'on');
    expect(packages.size > 0).toBe(expected === 'on');
    expect(stdout.includes('trace_id')).toBe(expected === 'on');
  });
});
