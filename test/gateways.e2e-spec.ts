import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, request as send, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import ts from 'typescript';
import { parse } from 'yaml';
import { generateApiKey } from '../src/common/api-key-format.js';
import { ApiKeysService, CreditsService } from '../src/index.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';
import { ending } from './support/leftovers.js';
import { freePort } from './support/ports.js';
import { startProcess, temporaryDirectory } from './support/processes.js';

const { ModuleKind, ScriptTarget, transpileModule } = ts;
const execute = promisify(execFile);
const FUTURE = new Date('2099-01-01T00:00:00.000Z');

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A backend that knows nothing of keys, and answers with the status at the end of the path. */
interface Backend {
  readonly port: number;
  readonly requests: { readonly headers: IncomingHttpHeaders; readonly names: string[]; readonly body: string }[];
}

async function startBackend(): Promise<Backend> {
  const requests: Backend['requests'] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const names = request.rawHeaders.filter((_, index) => index % 2 === 0);
        requests.push({ headers: request.headers, names, body: Buffer.concat(chunks).toString() });
        response.writeHead(Number(/\d{3}$/.exec(request.url ?? '')?.[0] ?? 200), { 'x-backend': 'yes' }).end('served');
      });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ending(() => {
    server.closeAllConnections();
    server.close();
    return Promise.resolve();
  });
  return { port: (server.address() as AddressInfo).port, requests };
}

/** A gateway, by its name: the command that runs the files of `deploy/gateways`. */
const GATEWAYS: Readonly<Record<string, (directory: string) => [program: string, ...words: string[]]>> = {
  nginx: (directory) => [
    'nginx',
    '-e',
    'stderr',
    '-p',
    directory,
    '-c',
    join(directory, 'nginx.conf'),
    '-g',
    `daemon off; error_log stderr; pid ${join(directory, 'pid')};`,
  ],
  caddy: (directory) => ['caddy', 'run', '--adapter', 'caddyfile', '--config', join(directory, 'Caddyfile')],
};

async function startGateway(name: string, ports: { readonly api: number; readonly backend: number }): Promise<number> {
  const { path } = await temporaryDirectory();
  const port = await freePort();
  await cp('deploy/gateways', path, { recursive: true });
  for (const file of ['nginx.conf', 'Caddyfile']) {
    const text = await readFile(join(path, file), 'utf8');
    await writeFile(
      join(path, file),
      text
        .replaceAll('127.0.0.1:3000', `127.0.0.1:${String(ports.api)}`)
        .replaceAll('127.0.0.1:8080', `127.0.0.1:${String(ports.backend)}`)
        .replaceAll(':8000', `:${String(port)}`)
        .replace('\nhttp {', `\nhttp {\n  access_log off;\n${TEMPORARY_PATHS(path)}`),
    );
  }
  const [program, ...words] = GATEWAYS[name]?.(path) ?? [''];
  const gateway = startProcess(program, words, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, HOME: path },
  });
  while (gateway.child.exitCode === null && !(await listens(port))) await sleep(20);
  if (gateway.child.exitCode !== null) throw new Error(`${name} has ended`);
  return port;
}

/** The directories that nginx makes, which are those of its package otherwise. */
const TEMPORARY_PATHS = (path: string): string =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${join(path, kind)};`)
    .join('\n');

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    send({ port, path: '/', agent: false }, (response) => {
      response.resume();
      resolve(true);
    })
      .on('error', () => {
        resolve(false);
      })
      .end();
  });

const isInstalled = (name: string): boolean => spawnSync('which', [name]).status === 0;

/** The other spellings of a header, with `-`, `_` or `.` between its words. */
function spellings(name: string): string[] {
  const [first = '', ...words] = name.split('-');
  const all = words.reduce(
    (begun, word) => begun.flatMap((text) => ['-', '_', '.'].map((by) => text + by + word)),
    [first],
  );
  return all.filter((text) => text !== name);
}

const IDENTITY = ['x-user-id', 'x-api-key-id', 'x-api-key-name', 'x-api-key-scopes'];

const beforeABackend = (name: string) => (): void => {
  let database: TestDatabase;
  let app: TestApp;
  let backend: Backend;
  let port: number;
  let ada: GivenUser;
  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { TRUST_PROXY: '1' });
    backend = await startBackend();
    port = await startGateway(name, { api: app.port, backend: backend.port });
    ada = await app.given.user();
  });
  afterAll(async () => {
    await app.abandon();
    await database.drop();
  });

  const ask = (
    path: string,
    headers: Readonly<Record<string, string | string[]>> = {},
    { method = 'GET', body = '', to = port } = {},
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const request = send({ port: to, method, path, headers, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response
          .on('data', (chunk: Buffer) => chunks.push(chunk))
          .on('end', () => {
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString(),
            });
          });
      });
      request.on('error', reject).end(body);
    });
  const keyOf = (scopes: readonly string[] | null) =>
    app.nest.get(ApiKeysService).create({ userId: ada.id, name: randomUUID(), expiresAt: FUTURE, scopes });

  it('serves a key that works, and tells the backend whose it is', async () => {
    const { key, secret } = await keyOf(['jobs:write']);

    for (const headers of [{ 'x-api-key': secret }, { authorization: `Bearer ${secret}` }] as const) {
      const answer = await ask('/jobs/7?x=1', headers, { method: 'POST', body: 'payload' });
      const seen = backend.requests.at(-1);
      expect(answer).toMatchObject({ status: 200, body: 'served' });
      expect(seen?.body).toBe('payload');
      expect(IDENTITY.map((header) => seen?.headers[header])).toEqual([ada.id, key.id, key.name, 'jobs:write']);
      expect(seen?.headers).not.toHaveProperty('x-api-key');
      expect(seen?.headers).not.toHaveProperty('authorization');
      expect(JSON.stringify(seen)).not.toContain(secret);
    }
  });

  it('passes on conditions to the backend alone', async () => {
    const { secret } = await keyOf(null);

    const answer = await ask('/', { 'x-api-key': secret, 'if-none-match': '*' }, { method: 'PUT', body: 'x' });

    expect(answer).toMatchObject({ status: 200, body: 'served' });
  });

  it('refuses a revoked key on the next request', async () => {
    const { key, secret } = await keyOf(null);
    const before = await ask('/', { 'x-api-key': secret });

    await app.nest.get(ApiKeysService).revoke(ada.id, key.name);
    const count = backend.requests.length;
    const after = await ask('/', { 'x-api-key': secret });

    expect([before.status, after.status]).toEqual([200, 401]);
    expect(after.headers['content-type']).toMatch(/^application\/json/);
    expect(JSON.parse(after.body)).toEqual({ status: 401, message: expect.any(String) as string });
    expect(backend.requests).toHaveLength(count);
  });

  it('shows 401 and 403 as such, with a JSON body and without the backend', async () => {
    const { secret } = await keyOf(['other']);
    const count = backend.requests.length;

    const answers = [
      await ask('/'),
      await ask('/', { 'x-api-key': generateApiKey() }),
      await ask('/', { 'x-api-key': secret, authorization: `Bearer ${secret}` }),
      await ask('/jobs', { 'x-api-key': secret }),
    ];

    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 403]);
    for (const { status, body, headers } of answers) {
      expect(headers['content-type']).toMatch(/^application\/json/);
      expect(JSON.parse(body)).toEqual({ status, message: expect.any(String) as string });
    }
    expect(answers[0]?.headers['www-authenticate']).toMatch(/^ApiKey /);
    expect(backend.requests).toHaveLength(count);
  });

  it("passes the backend's own statuses on as they are", async () => {
    for (const status of [401, 403, 404, 429, 500, 502, 503]) {
      const answer = await ask(`/status/${String(status)}`, { 'x-api-key': ada.key });
      expect([answer.status, answer.headers['x-backend'], answer.body]).toEqual([status, 'yes', 'served']);
    }
  });

  it('lets no forged identity through, however it is spelled', async () => {
    const { key, secret } = await keyOf([]);
    const forged = Object.fromEntries(
      IDENTITY.flatMap((header) => [header, ...spellings(header)]).flatMap((header) => [
        [header, 'forged'],
        [header.replaceAll(/\b[a-z]/g, (letter) => letter.toUpperCase()), 'forged'],
      ]),
    );

    const known = await ask('/', { 'x-api-key': secret, ...forged });
    const seen = backend.requests.at(-1);
    const count = backend.requests.length;
    const unknown = await ask('/', forged);

    expect(known.status).toBe(200);
    expect(JSON.stringify(seen)).not.toContain('forged');
    expect(IDENTITY.map((header) => seen?.headers[header])).toEqual([ada.id, key.id, key.name, '-']);
    expect(unknown.status).toBe(401);
    expect(backend.requests).toHaveLength(count);
  });

  it('does not let its caller remove the identity by naming its headers in Connection', async () => {
    const { key, secret } = await keyOf([]);

    const answer = await ask('/', { 'x-api-key': secret, connection: ['close', ...IDENTITY].join(', ') });

    expect(answer.status).toBe(200);
    const seen = backend.requests.at(-1);
    expect(IDENTITY.map((header) => seen?.headers[header])).toEqual([ada.id, key.id, key.name, '-']);
  });

  it('does not let its caller remove the scope of a route', async () => {
    const { secret } = await keyOf([]);

    for (const path of ['/jobs?scope=', '/jobs?scope=a', '/jobs%3Fscope=a', '/JOBS/../jobs', '//jobs', '/./jobs'])
      expect([path, (await ask(path, { 'x-api-key': secret, 'x-required-scope': '' })).status]).not.toEqual([
        path,
        200,
      ]);
  });

  it('shows 429 as such with Retry-After, and 503 while the Users API or its database is away', async () => {
    const own = await createDatabase();
    const limited = await startTestApp(own.url, { TRUST_PROXY: '1', RATE_LIMIT_PER_MINUTE: '1' });
    const { key } = await limited.given.user();
    const to = await startGateway(name, { api: limited.port, backend: backend.port });
    const count = backend.requests.length;

    const first = await ask('/', { 'x-api-key': key }, { to });
    const second = await ask('/', { 'x-api-key': key }, { to });
    await own.drop();
    const withoutDatabase = await ask('/', { 'x-api-key': key }, { to });
    await limited.abandon();
    const withoutApi = await ask('/', { 'x-api-key': key }, { to });

    expect([first, second, withoutDatabase, withoutApi].map(({ status }) => status)).toEqual([200, 429, 503, 503]);
    for (const { status, headers, body } of [second, withoutDatabase, withoutApi]) {
      expect(headers['content-type']).toMatch(/^application\/json/);
      expect(JSON.parse(body)).toMatchObject({ status });
    }
    expect(second.headers['retry-after']).toMatch(/^\d+$/);
    expect(backend.requests).toHaveLength(count + 1);
  });

  it('counts failures by the address of the caller, which it cannot choose', async () => {
    const own = await createDatabase();
    const limited = await startTestApp(own.url, { TRUST_PROXY: '1', RATE_LIMIT_PER_MINUTE: '2' });
    const to = await startGateway(name, { api: limited.port, backend: backend.port });

    const statuses = [];
    for (let n = 0; n < 4; n += 1) {
      const headers = { 'x-api-key': 'wrong', 'x-forwarded-for': `192.0.2.${String(n)}` };
      statuses.push((await ask('/', headers, { to })).status);
    }
    await limited.abandon();
    await own.drop();

    expect(statuses.slice(-1)).toEqual([429]);
  });
};

for (const name of Object.keys(GATEWAYS)) {
  const suite = isInstalled(name) ? describe : describe.skip;
  suite(`${name} before a backend that knows nothing of keys`, beforeABackend(name));
}

interface TraefikMiddleware {
  readonly forwardAuth?: {
    readonly address: string;
    readonly authRequestHeaders: readonly string[];
    readonly authResponseHeaders: readonly string[];
  };
}

interface EnvoyService {
  readonly path_prefix: string;
  readonly authorization_request: {
    readonly headers_to_add: readonly { readonly key: string; readonly value: string }[];
  };
  readonly authorization_response: {
    readonly allowed_upstream_headers: { readonly patterns: readonly { exact: string }[] };
  };
}

describe('The requests of proxies that no test runs', () => {
  let database: TestDatabase;
  let app: TestApp;
  let ada: GivenUser;
  beforeAll(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url);
    ada = await app.given.user();
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const identity = (headers: Readonly<Record<string, string>>) => IDENTITY.map((name) => headers[name]);
  const secretOf = async (scopes: readonly string[]) =>
    (await app.nest.get(ApiKeysService).create({ userId: ada.id, name: randomUUID(), expiresAt: FUTURE, scopes }))
      .secret;

  it('of Traefik: GET, with the original request in X-Forwarded-* headers', async () => {
    const { http } = parse(await readFile('deploy/gateways/traefik.yaml', 'utf8'), { merge: true }) as {
      http: { middlewares: Readonly<Record<string, TraefikMiddleware>> };
    };
    const middlewares = Object.values(http.middlewares).flatMap(({ forwardAuth }) => forwardAuth ?? []);
    const [able, unable] = [await secretOf(['jobs:write']), await secretOf([])];
    const statuses: number[][] = [];
    for (const { address, authRequestHeaders, authResponseHeaders } of middlewares) {
      const ask = (key: string) =>
        app
          .anyone()
          .get(address.replace(/^.*:3000/, ''))
          .set({ 'x-forwarded-method': 'POST', 'x-forwarded-uri': '/jobs?scope=other', 'x-forwarded-proto': 'https' })
          .set('x-api-key', key);
      const answers = [await ask(able), await ask(unable), await ask(generateApiKey())];
      statuses.push(answers.map(({ status }) => status));
      expect(identity(answers[0]?.headers as Record<string, string>)).not.toContain(undefined);
      expect(authResponseHeaders.map((name) => name.toLowerCase())).toEqual(IDENTITY);
      expect(authRequestHeaders).toEqual(['X-Api-Key', 'Authorization']);
    }

    expect(statuses).toEqual([
      [200, 200, 401],
      [200, 403, 401],
    ]);
  });

  it('of Envoy: the method and, behind the prefix, the path of its caller', async () => {
    const text = await readFile('deploy/gateways/envoy.yaml', 'utf8');
    const service = find(parse(text), 'http_service') as EnvoyService;
    const [added] = service.authorization_request.headers_to_add;
    const ask = (key: string) =>
      app
        .anyone()
        .post(`${service.path_prefix}/jobs/7?x=1&path=2`)
        .set({ 'x-api-key': key, [added?.key ?? '']: added?.value ?? '', 'content-length': '0' });

    const answers = [await ask(await secretOf(['jobs:write'])), await ask(await secretOf([])), await ask('ua_wrong')];

    expect(answers.map(({ status }) => status)).toEqual([200, 403, 401]);
    expect(service.authorization_response.allowed_upstream_headers.patterns.map(({ exact }) => exact)).toEqual(
      IDENTITY,
    );
    expect(find(parse(text), 'status_on_error')).toEqual({ code: 'ServiceUnavailable' });
  });

  const CODE = {
    ts: async (code: string, path: string) => {
      const { outputText } = transpileModule(code, {
        compilerOptions: { module: ModuleKind.ES2022, target: ScriptTarget.ES2022 },
      });
      await writeFile(
        join(path, 'verify.mjs'),
        `${outputText}\nconsole.log(await verify(process.argv[2], process.argv[3]));`,
      );
      return ['node', join(path, 'verify.mjs')];
    },
    py: async (code: string, path: string) => {
      await writeFile(join(path, 'verify.py'), `${code}\nimport sys\nprint(verify(sys.argv[1], sys.argv[2]))`);
      return ['python3', join(path, 'verify.py')];
    },
  };

  it.each(Object.keys(CODE) as (keyof typeof CODE)[])(
    'the code of docs/gateways.md verifies and charges: %s',
    async (language) => {
      if (language === 'py' && !isInstalled('python3')) return;
      const [, code = ''] =
        new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(await readFile('docs/gateways.md', 'utf8')) ?? [];
      const { path } = await temporaryDirectory();
      const admin = await app.given.user({ isAdmin: true });
      const key = {
        userId: admin.id,
        name: randomUUID(),
        expiresAt: FUTURE,
        scopes: ['ua:verify', 'ua:credits:charge'],
      };
      const { secret } = await app.nest.get(ApiKeysService).create(key);
      const [program = '', ...words] = await CODE[language](code, path);
      const env = {
        ...process.env,
        USERS_API_URL: `http://127.0.0.1:${String(app.port)}`,
        USERS_API_KEY: secret,
        NODE_OPTIONS: '',
      };
      const run = async (customer: string) =>
        (await execute(program, [...words, customer, `job-${language}`], { env })).stdout.trim();
      const refused = await run(ada.key);
      await app.nest.get(CreditsService).add({ userId: ada.id, amount: 1, transactionId: randomUUID() });

      expect([refused, await run(ada.key), await run(ada.key)]).toEqual([
        language === 'ts' ? 'null' : 'None',
        ada.id,
        ada.id,
      ]);
    },
  );
});

/** The first value of this property, at any depth. */
function find(tree: unknown, property: string): unknown {
  if (typeof tree !== 'object' || tree === null) return undefined;
  return property in tree
    ? (tree as Record<string, unknown>)[property]
    : Object.values(tree)
        .map((part) => find(part, property))
        .find((found) => found !== undefined);
}
