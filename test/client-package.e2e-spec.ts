import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { useTestApp } from './support/app.js';
import { temporaryDirectory } from './support/processes.js';

const run = promisify(execFile);

/** As in a terminal of a user: nothing of the npm that runs the tests. */
const { PATH, HOME, NODE_EXTRA_CA_CERTS } = process.env;
const env = { PATH, HOME, NODE_EXTRA_CA_CERTS };

/** What a strict application may write, and what it may not. */
const USES = `
import { createUsersApi, NotFoundError, TooManyRequestsError, UsersApiError, type UsersApi, type UsersApiOptions } from '@users-api/client';

const nothing: string | undefined = undefined;
const options: UsersApiOptions = {
  baseUrl: 'http://127.0.0.1:3000',
  apiKey: 'ua_',
  timeout: undefined,
  patience: { attempts: undefined, maxWaitMs: 1 },
  fetch: undefined,
};
export const api: UsersApi = createUsersApi(options);

export async function use(): Promise<void> {
  const { data, error } = await api.GET('/v1/users/me', { signal: undefined, timeout: undefined });
  if (error) {
    const failure: UsersApiError = error;
    if (error instanceof TooManyRequestsError) {
      const status: 429 = error.status;
      const seconds: number | null = error.retryAfter;
      throw new Error([status, seconds, failure.requestId].join());
    }
    throw error;
  }
  const balance: number = data.credits_balance;

  await api.PATCH('/v1/users/me', { body: { name: nothing }, params: { header: { 'If-Match': nothing } } });
  const { data: made } = await api.POST('/v1/api-keys', { body: { name: 'a', expires_at: '2099-01-01T00:00:00Z' } });
  const secret: string | undefined = made?.secret;
  const gone = await api.DELETE('/v1/users/{user_id}', { params: { path: { user_id: 'x' } } });
  const none: undefined = gone.data;

  for await (const key of api.paginate('/v1/api-keys', { params: { query: { expires_before: nothing } } })) {
    const prefix: string = key.prefix;
    console.log(balance, secret, none, prefix, NotFoundError);
  }
  for await (const entry of api.paginate('/v1/billing/credit-history')) console.log(entry.balance_after.toFixed());

  // @ts-expect-error no such path
  await api.GET('/v1/user');
  // @ts-expect-error no such method
  await api.DELETE('/v1/users/me');
  // @ts-expect-error a list it is not
  for await (const row of api.paginate('/v1/users/me')) console.log(row);
  // @ts-expect-error no such field
  await api.PATCH('/v1/users/me', { body: { nickname: 'Ada' } });
  // @ts-expect-error a required field is missing
  await api.POST('/v1/api-keys', { body: { name: 'a' } });
  // @ts-expect-error a required field is undefined
  await api.POST('/v1/api-keys', { body: { name: nothing, expires_at: '2099-01-01T00:00:00Z' } });
  // @ts-expect-error the parameters of the path are missing
  await api.GET('/v1/users/{user_id}');
}
`;

/** A CommonJS or ES module that renames its user and reads its keys. */
const program = (load: string): string => `
${load}
const api = createUsersApi({ baseUrl: process.env.USERS_API_URL, apiKey: process.env.USERS_API_KEY });
(async () => {
  const { data, error } = await api.PATCH('/v1/users/me', { body: { name: 'Grace' } });
  const names = [];
  for await (const { name } of api.paginate('/v1/api-keys')) names.push(name);
  const missing = await api.GET('/v1/api-keys/{key_name}', { params: { path: { key_name: 'none' } } });
  console.log(JSON.stringify([data.name, error ?? null, names, missing.error instanceof NotFoundError]));
})();
`;

describe('@users-api/client, from a packed file', () => {
  const app = useTestApp();
  let directory: string;
  let files: string[];

  beforeAll(async () => {
    ({ path: directory } = await temporaryDirectory());
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', directory], {
      cwd: 'clients/typescript',
      env,
    });
    // What the scripts print stands before it.
    const [packed] = JSON.parse(stdout.slice(stdout.search(/^\[/m))) as [
      { filename: string; files: { path: string }[] },
    ];
    files = packed.files.map(({ path }) => path);
    await writeFile(join(directory, 'package.json'), JSON.stringify({ name: 'caller', private: true }));
    const options = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
    await run('npm', ['install', ...options, join(directory, packed.filename)], { cwd: directory, env });
    // The types of Node, from here, for the compilations without a DOM.
    await mkdir(join(directory, 'node_modules/@types'));
    for (const name of ['@types/node', 'undici-types'])
      await cp(join('node_modules', name), join(directory, 'node_modules', name), { recursive: true });
    await writeFile(join(directory, 'uses.ts'), USES);
    await writeFile(join(directory, 'uses.mts'), USES);
  }, 240_000);

  it('has the programs, their types and how to use them, and nothing else', () => {
    expect(files.filter((path) => !/^(package\.json|README\.md|LICENSE|dist\/.*\.(js|d\.ts))$/.test(path))).toEqual([
      'dist/cjs/package.json',
    ]);
    expect(files).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'dist/esm/index.js', 'dist/cjs/index.js']));
  });

  it('brings openapi-fetch and its types, and nothing of the server', async () => {
    const names = (await readdir(join(directory, 'node_modules'))).filter((name) => !/^\.|^@types$|^undici/.test(name));

    expect(names.sort()).toEqual(['@users-api', 'openapi-fetch', 'openapi-typescript-helpers']);
    expect(await readdir(join(directory, 'node_modules/@users-api'))).toEqual(['client']);
  });

  it('is below 10 kB, compressed, with all that it loads', async () => {
    const { outputFiles } = await build({
      stdin: { contents: `export * from '@users-api/client'`, resolveDir: directory },
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      write: false,
    });
    const bytes = gzipSync(outputFiles[0]?.contents ?? '').length;

    expect(bytes).toBeGreaterThan(1_000);
    expect(bytes).toBeLessThan(10_000);
  });

  it.each<[title: string, file: string, options: object]>([
    ['node10', 'uses.ts', { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0' }],
    ['node16, from CommonJS', 'uses.ts', { module: 'node16' }],
    ['node16, from an ES module', 'uses.mts', { module: 'node16' }],
    ['nodenext', 'uses.mts', { module: 'nodenext' }],
    ['bundler', 'uses.ts', { module: 'esnext', moduleResolution: 'bundler' }],
    [
      'bundler, in a browser',
      'uses.ts',
      { module: 'esnext', moduleResolution: 'bundler', lib: ['ES2022', 'DOM'], types: [] },
    ],
  ])('has types that compile under strict rules: %s', async (_, file, options) => {
    const compilerOptions = {
      ...{ noEmit: true, strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
      ...{ target: 'ES2022', lib: ['ES2022'], types: ['node'], skipLibCheck: false },
      ...options,
    };
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }));

    const { stdout } = await run(process.execPath, [resolve('node_modules/typescript/bin/tsc')], {
      cwd: directory,
    }).catch((error: unknown) => error as { stdout: string });

    expect(stdout).toBe('');
  });

  it.each([
    ['form of an ES module', 'esm.mjs', `import { createUsersApi, NotFoundError } from '@users-api/client';`],
    [
      'form of a CommonJS module',
      'commonjs.cjs',
      `const { createUsersApi, NotFoundError } = require('@users-api/client');`,
    ],
  ])('works in the %s', async (_, file, load) => {
    const ada = await app.given.user({ name: 'Ada' });
    await writeFile(join(directory, file), program(load));

    const { stdout } = await run(process.execPath, [file], {
      cwd: directory,
      env: { PATH, USERS_API_URL: `http://127.0.0.1:${String(app.port)}`, USERS_API_KEY: ada.key },
    });

    expect(JSON.parse(stdout)).toEqual(['Grace', null, ['first-key'], true]);
  });

  it('is private until its scope is owned, and depends on the openapi-fetch of the tests alone', async () => {
    const { devDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as {
      devDependencies: { 'openapi-fetch': string };
    };
    const {
      name,
      private: isPrivate,
      dependencies,
    } = JSON.parse(await readFile('clients/typescript/package.json', 'utf8')) as {
      name: string;
      private: boolean;
      dependencies: object;
    };

    expect([name, isPrivate]).toEqual(['@users-api/client', true]);
    expect(dependencies).toEqual({ 'openapi-fetch': devDependencies['openapi-fetch'] });
  });
});
