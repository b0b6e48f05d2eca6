import { execFile, spawnSync } from 'node:child_process';
import { appendFile, cp, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { MIGRATIONS } from '../src/database/migrations.js';
import { administer, createDatabase, poolerEnvironment, type TestDatabase } from './support/database.js';
import { Programs, type RunningServer } from './support/server-process.js';

/**
 * What a bundle breaks: names that the document takes from classes, decorators of a second copy,
 * files beside a module.
 */
describe('The application as it is built', () => {
  let programs: Programs;
  let database: TestDatabase;
  let server: RunningServer;
  let caller: string;
  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
    database = await createDatabase();
    server = await programs.startServer({ DATABASE_URL: database.url });
    [caller = ''] = /ua_[0-9A-Za-z]{49}/.exec(server.output()) ?? [];
  });
  afterAll(async () => {
    await programs.dispose();
    await database.drop();
  });

  const patch = (body: unknown): Promise<Response> =>
    fetch(`${server.url}/v1/users/me`, {
      method: 'PATCH',
      headers: { 'x-api-key': caller, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('publishes the document that is kept in docs/', async () => {
    const published: unknown = await (await fetch(`${server.url}/docs-json`)).json();

    expect(published).toEqual(JSON.parse(await readFile('docs/openapi.json', 'utf8')));
  });

  it('checks and trims what it is sent', async () => {
    const [good, unknown, wrong] = await Promise.all([
      patch({ name: ' Ada ' }),
      patch({ name: 'Ada', role: 'admin' }),
      patch({ name: 5 }),
    ]);

    expect(await good.json()).toMatchObject({ name: 'Ada' });
    expect([unknown.status, wrong.status]).toEqual([400, 400]);
    expect(await unknown.json()).toEqual({ status: 400, message: 'The property "role" is not known here' });
  });

  it('302 leads from / to the documentation', async () => {
    const response = await fetch(`${server.url}/`, { redirect: 'manual' });

    expect([response.status, response.headers.get('location')]).toEqual([302, '/docs']);
  });

  it('says, at a later start too, where the data and the documentation are', async () => {
    const later = await programs.startServer({ DATABASE_URL: database.url });
    await later.end('SIGTERM');

    const { host, pathname } = new URL(database.url);
    expect(later.output()).toContain(`The database is in ${host}${pathname}, the documentation at ${later.url}/docs`);
    expect(later.output()).not.toMatch(/Ran the migrations|ua_/);
  });

  it('logs the migrations that it runs', async () => {
    const empty = await createDatabase('empty');

    const first = await programs.startServer({ DATABASE_URL: empty.url });
    await first.end('SIGTERM');

    const names = MIGRATIONS.map(({ name }) => name).join(', ');
    expect(first.output()).toContain(`"msg":"Ran the migrations ${names}"`);
    await empty.drop();
  });

  it('logs the classes of loggers and errors by the names that they have in the source', async () => {
    const broken = await createDatabase();
    const failing = await programs.startServer({ DATABASE_URL: broken.url });
    const [key = ''] = /ua_[0-9A-Za-z]{49}/.exec(failing.output()) ?? [];
    await administer('ALTER TABLE audit_events RENAME TO lost', broken.directUrl);

    await fetch(`${failing.url}/v1/audit-events`, { headers: { 'x-api-key': key } });

    await failing.end('SIGTERM');
    const [line] = /^.*"level":"error".*$/m.exec(failing.output()) ?? ['{}'];
    expect(JSON.parse(line)).toMatchObject({
      context: 'ErrorFilter',
      err: { type: 'QueryFailedError', code: '42P01' },
    });
    await broken.drop();
  });

  // At this level, Nest logs the names of the modules and controllers, and as context that of its
  // own class.
  it('logs a start with the same names as the modules that it is made of', async () => {
    const lines: string[][] = [];
    for (const program of ['server', 'unbundledServer'] as const) {
      const started = programs.start(program, [], { DATABASE_URL: database.url, PORT: '0', LOG_LEVEL: 'trace' });
      await started.says(/Listening on/);
      const { stdout } = await started.end('SIGTERM');
      lines.push(
        [...stdout.matchAll(/"context":.*$/gm)].map(([line]) => line.replace(/\d+(?=ms)|(?<=:)\d{4,5}\b/g, '0')),
      );
    }

    const [bundled = [], unbundled = []] = lines;
    expect(unbundled.length).toBeGreaterThan(40);
    expect(bundled.sort()).toEqual(unbundled.sort());
  });

  it.each(['/docs', '/console'])('serves the page at %s with all that it needs', async (path) => {
    const page = await (await fetch(`${server.url}${path}`)).text();
    const files = [...page.matchAll(/(?:src|href)="\.(\/\w+\/[^"]+)"/g)].map(([, file]) => file ?? '');

    const answers = await Promise.all(files.map((file) => fetch(`${server.url}${file}`)));

    expect(files.length).toBeGreaterThan(3);
    expect(answers.map(({ status }) => status)).toEqual(files.map(() => 200));
  });
});

// What a bundle also loads from node_modules is in memory twice.
describe.each([
  ['the server', ['dist/app/main.js']],
  ['the command line', ['dist/cli/cli.js', 'users', 'list']],
])('The bundle of %s', (_, program) => {
  it('loads no package that it contains', async () => {
    const database = await createDatabase();
    const atExit = `import { createRequire } from 'node:module';
      process.on('exit', () => console.log(JSON.stringify(Object.keys(createRequire('/').cache))));`;
    const loading = spawnSync(
      process.execPath,
      ['--import', `data:text/javascript,${encodeURIComponent(atExit)}`, ...program],
      {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, DATABASE_URL: database.url, PORT: '-1', ...poolerEnvironment() },
      },
    );
    await database.drop();
    const files = JSON.parse(loading.stdout.trim().split('\n').at(-1) ?? '') as string[];
    const packages = new Set(files.map((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]));

    const { dependencies, peerDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as Record<
      'dependencies' | 'peerDependencies',
      object
    >;
    const contained = Object.keys({ ...dependencies, ...peerDependencies });
    expect(packages).toContain('pino');
    expect(contained.filter((name) => packages.has(name) && name !== 'pino')).toEqual([]);
  });
});

describe('npm start', () => {
  let checkout: string;
  beforeEach(async () => {
    checkout = await mkdtemp(join(tmpdir(), 'users-api-build-'));
  });
  afterEach(() => rm(checkout, { recursive: true }));

  it('builds after a change of the sources, and only then', async () => {
    const files = ['build.js', 'esbuild.config.js', 'nest-cli.json', 'package.json', 'tsconfig.json'];
    for (const name of [...files, 'tsconfig.build.json', 'migrations', 'src', 'dist'])
      await cp(name, join(checkout, name), { recursive: true });
    await symlink(resolve('node_modules'), join(checkout, 'node_modules'));
    const main = join(checkout, 'dist/app/main.js');
    const prepare = async (): Promise<number> => {
      await promisify(execFile)('npm', ['run', 'prestart'], { cwd: checkout });
      return (await stat(main)).ino;
    };
    const built = (await stat(main)).ino;

    const unchanged = await prepare();
    await appendFile(join(checkout, 'src/main.ts'), `\nprocess.title = 'changed';\n`);
    const changed = await prepare();
    const again = await prepare();

    expect(unchanged).toBe(built);
    expect(changed).not.toBe(built);
    expect(again).toBe(changed);
    expect(await readFile(main, 'utf8')).toContain('process.title="changed"');
  }, 300_000); // the compiler takes its time on a busy machine
});
