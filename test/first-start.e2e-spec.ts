import { exec } from 'node:child_process';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { generateApiKey } from '../src/common/api-key-format.js';
import { administer, createDatabase } from './support/database.js';
import { Programs } from './support/server-process.js';

const shell = promisify(exec);
const CURL = /^ {2}(curl .+)$/m;

/** The process that PostgreSQL's own file names, if it runs. */
async function serverPid(cwd: string): Promise<number | null> {
  try {
    const pid = Number((await readFile(join(cwd, '.data/postgres-18/postmaster.pid'), 'utf8')).split('\n')[0]);
    process.kill(pid, 0);
    return pid;
  } catch {
    return null;
  }
}

describe('A start with nothing but this repository', () => {
  let programs: Programs;
  beforeEach(async () => {
    programs = await Programs.inEmptyDirectory();
    await chmod(programs.cwd, 0o755);
  });
  afterEach(() => programs.dispose());

  it('prints a curl line that works as it stands, and keeps the new name through kill -9 of the server', async () => {
    const first = await programs.startServer();
    const [, curl = ''] = CURL.exec(first.output()) ?? [];
    const { stdout } = await shell(`${curl} -s -w '%{http_code}'`);
    await first.end('SIGKILL');
    const leftBehind = await serverPid(programs.cwd);

    const second = await programs.startServer();
    const key = /x-api-key: (\w+)/.exec(curl)?.[1] ?? '';
    const answer = await fetch(`${second.url}/v1/users/me`, { headers: { 'x-api-key': key } });

    expect(stdout).toMatch(/"name":"Ada Lovelace".*200$/);
    expect(leftBehind).not.toBeNull(); // so the second start took over a server that was running
    expect(await answer.json()).toMatchObject({ name: 'Ada Lovelace', email: 'admin@example.com' });
    expect(second.output()).not.toContain('ua_'); // shown once
    expect((await second.end('SIGTERM')).code).toBe(0);
    expect(await serverPid(programs.cwd)).toBeNull(); // what it took over, it stops
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'stops the database that it started on %s, and ends with 0',
    async (signal) => {
      const server = await programs.startServer();
      expect(await serverPid(programs.cwd)).not.toBeNull();

      const { code } = await server.end(signal);

      expect(code).toBe(0);
      expect(await serverPid(programs.cwd)).toBeNull();
    },
  );

  it('stops the database when the start fails after it', async () => {
    const server = await programs.startServer();
    const { port } = new URL(server.url);
    const other = await Programs.inEmptyDirectory();
    await chmod(other.cwd, 0o755);

    const { code, stderr } = await other.failToStart({ PORT: port });

    expect(code).toBe(1);
    expect(stderr).toContain('EADDRINUSE');
    expect(await serverPid(other.cwd)).toBeNull();
    await other.dispose();
  });

  it('refuses a data directory that another instance uses, and leaves that one alone', async () => {
    const first = await programs.startServer();

    const second = await programs.failToStart({});

    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/\.data is in use by another instance/);
    expect((await fetch(`${first.url}/readyz`)).status).toBe(200);
  });

  it('recovers when the server and its database were both killed', async () => {
    const first = await programs.startServer();
    const [, curl = ''] = CURL.exec(first.output()) ?? [];
    await shell(`${curl} -s`);
    const pid = await serverPid(programs.cwd);
    await first.end('SIGKILL');
    if (pid) process.kill(pid, 'SIGKILL');

    const second = await programs.startServer();
    const answer = await fetch(`${second.url}/v1/users/me`, {
      headers: { 'x-api-key': /x-api-key: (\w+)/.exec(curl)?.[1] ?? '' },
    });

    expect(await answer.json()).toMatchObject({ name: 'Ada Lovelace' });
  });

  it('starts a database that is killed while it runs again, on its own, and serves as before', async () => {
    const server = await programs.startServer();
    const [, curl = ''] = CURL.exec(server.output()) ?? [];
    const pid = (await serverPid(programs.cwd)) ?? 0;

    process.kill(pid, 'SIGKILL');
    let answer = '';
    while (!answer.endsWith('200')) ({ stdout: answer } = await shell(`${curl} -s -w '%{http_code}'`));
    const next = await serverPid(programs.cwd);
    await server.end('SIGTERM');

    expect(next).not.toBe(pid);
    expect(await serverPid(programs.cwd)).toBeNull();
  });

  it('still owns its data directory after the database threw it out, and a second instance harms nothing', async () => {
    const server = await programs.startServer();
    const [password, pidFile] = await Promise.all(
      ['users-api.password', 'postmaster.pid'].map((file) =>
        readFile(join(programs.cwd, '.data/postgres-18', file), 'utf8'),
      ),
    );
    const url = `postgresql://postgres:${password ?? ''}@127.0.0.1:${pidFile?.split('\n')[3] ?? ''}/postgres`;

    await administer(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL',
      url,
    );
    await server.says(/The PostgreSQL server is back/);
    const second = await programs.failToStart({});

    expect(second.stderr).toMatch(/in use by another instance/);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  });

  it('keeps the first key for the start that works, when an earlier one failed on a busy port', async () => {
    const busy = createServer().listen(0, '127.0.0.1');
    await new Promise((listening) => busy.once('listening', listening));
    const { port } = busy.address() as { port: number };

    const failed = await programs.failToStart({ PORT: String(port) });
    await new Promise((closed) => busy.close(closed));
    const server = await programs.startServer();

    expect(failed.code).toBe(1);
    expect(failed.stderr).toBe(
      `Cannot listen with HOST=127.0.0.1, PORT=${String(port)}: listen EADDRINUSE: address already in use 127.0.0.1:${String(port)}\n`,
    );
    expect(server.output()).toMatch(CURL);
  });

  it.each(['dol$HOME', 'tick`id`', 'quo"te', "apo'strophe", 'spa ce', 'semi;colon'])(
    'works in a directory named %s',
    async (name) => {
      await mkdir(join(programs.cwd, name));
      await chmod(join(programs.cwd, name), 0o755);
      await symlink(join(programs.cwd, name), join(programs.cwd, 'link'));

      const server = await programs.startServer({ DATA_DIR: join('link', 'data') });

      expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    },
  );

  it('leaves no database behind when its whole process group is ended, at whatever moment of its first start', async () => {
    for (const delayMs of [200, 500, 700, 900, 1100, 1400]) {
      await programs.startAndEndGroup(delayMs);
      expect([delayMs, await serverPid(programs.cwd)]).toEqual([delayMs, null]);
    }
    const server = await programs.startServer();
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  });

  it('runs a durable server, on loopback alone, with a password of its own', async () => {
    const server = await programs.startServer();
    const password = await readFile(join(programs.cwd, '.data/postgres-18/users-api.password'), 'utf8');
    const port = (await readFile(join(programs.cwd, '.data/postgres-18/postmaster.pid'), 'utf8')).split('\n')[3] ?? '';
    const url = (secret: string): string => `postgresql://postgres:${secret}@127.0.0.1:${port}/postgres`;

    const settings = await administer(
      `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'listen_addresses', 'synchronous_commit', 'unix_socket_directories') ORDER BY name`,
      url(password),
    );

    expect(settings).toEqual([
      { name: 'fsync', setting: 'on' },
      { name: 'full_page_writes', setting: 'on' },
      { name: 'listen_addresses', setting: '127.0.0.1' },
      { name: 'synchronous_commit', setting: 'on' },
      { name: 'unix_socket_directories', setting: '' },
    ]);
    expect(password).toHaveLength(32);
    const guess = new Client({ connectionString: url('password') });
    await expect(guess.connect()).rejects.toMatchObject({ code: '28P01' });
    expect(server.output()).not.toContain(password);
  });

  it('refuses a DATA_DIR that cannot be one, with the reason', async () => {
    await writeFile(join(programs.cwd, 'file'), '');

    const { code, stderr } = await programs.failToStart({ DATA_DIR: 'file/data' });

    expect(code).toBe(1);
    expect(stderr).toMatch(/^DATA_DIR cannot be .*\/file\/data: .*\/file is not a directory$/m);
  });

  if (process.getuid?.() === 0) {
    it('as root, refuses a DATA_DIR that the account of PostgreSQL cannot enter', async () => {
      await mkdir(join(programs.cwd, 'closed'), { mode: 0o700 });

      const { code, stderr } = await programs.failToStart({ DATA_DIR: 'closed/data' });

      expect(code).toBe(1);
      expect(stderr).toMatch(
        /DATA_DIR cannot be .*closed\/data: PostgreSQL does not run as root, and the account "postgres" cannot enter .*closed$/m,
      );
    });

    it('as root in a directory that only root can enter, puts the data where PostgreSQL can reach it, and says where', async () => {
      await chmod(programs.cwd, 0o700);

      const server = await programs.startServer();
      const [, place = ''] = /The database is in (\/var\/lib\/users-api\/[^ ,"]+)/.exec(server.output()) ?? [];
      const ready = await fetch(`${server.url}/readyz`);
      await server.end('SIGTERM');

      expect(ready.status).toBe(200);
      expect(place).toMatch(/^\/var\/lib\/users-api\/users-api-test-/);
      await shell(`rm -rf '${place}'`);
    });
  }
});

describe('A start on an empty database', () => {
  let programs: Programs;
  beforeEach(async () => {
    programs = await Programs.inEmptyDirectory();
  });
  afterEach(() => programs.dispose());

  it('makes one administrator and prints one key, of ten instances that start at once', async () => {
    const database = await createDatabase('empty');
    const env = { DATABASE_URL: database.url, DATABASE_POOL_SIZE: '2' };

    const servers = await Promise.all(Array.from({ length: 10 }, () => programs.startServer(env)));
    await Promise.all(servers.map((server) => server.end('SIGTERM')));

    const users = await administer('SELECT email, is_admin FROM users', database.url);
    expect(users).toEqual([{ email: 'admin@example.com', is_admin: true }]);
    expect(servers.filter((server) => CURL.test(server.output()))).toHaveLength(1);
    await database.drop();
  });

  it.each([
    ['a year', undefined, 365],
    ['BOOTSTRAP_ADMIN_KEY_DAYS', '3650', 3650],
  ])('makes a key for %s, and says with it when it expires', async (_, given, days) => {
    const database = await createDatabase('empty');

    const server = await programs.startServer({ DATABASE_URL: database.url, BOOTSTRAP_ADMIN_KEY_DAYS: given });
    const [, said] = /It expires at (\S+):\n\n {2}ua_/.exec(server.output()) ?? [];
    await server.end('SIGTERM');

    const keys = await administer<{ expires_at: Date; days: number }>(
      'SELECT expires_at, round(extract(epoch FROM expires_at - created_at) / 86400)::int AS days FROM api_keys',
      database.url,
    );
    expect(keys).toEqual([{ expires_at: new Date(said ?? ''), days }]);
    await database.drop();
  });

  it('takes the key from BOOTSTRAP_ADMIN_KEY, and then prints none, but logs when it expires', async () => {
    const database = await createDatabase('empty');
    const key = generateApiKey();

    const server = await programs.startServer({
      DATABASE_URL: database.url,
      BOOTSTRAP_ADMIN_KEY: key,
      BOOTSTRAP_ADMIN_KEY_DAYS: '30',
      BOOTSTRAP_ADMIN_EMAIL: 'root@example.org',
    });
    const answer = await fetch(`${server.url}/v1/users/me`, { headers: { 'x-api-key': key } });
    const current = await fetch(`${server.url}/v1/api-keys/current`, { headers: { 'x-api-key': key } });
    await server.end('SIGTERM');

    const { created_at, expires_at } = (await current.json()) as { created_at: string; expires_at: string };
    expect(await answer.json()).toMatchObject({ email: 'root@example.org' });
    expect(Math.round((Date.parse(expires_at) - Date.parse(created_at)) / 86_400_000)).toBe(30);
    expect(server.output()).toContain(
      `the administrator root@example.org was created with the key of BOOTSTRAP_ADMIN_KEY, which expires at ${expires_at}`,
    );
    expect(server.output()).not.toContain('ua_');
    await database.drop();
  });

  it('leaves the schema alone with MIGRATIONS_RUN=false, and refuses to start without it', async () => {
    const database = await createDatabase('empty');

    const { code, stderr } = await programs.failToStart({ DATABASE_URL: database.url, MIGRATIONS_RUN: 'false' });

    expect(code).toBe(1);
    expect(stderr).toContain(
      'The database lacks the migrations RefuseOtherTables1767225540000, CreateUsers1767225600000',
    );
    expect(await administer(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`, database.url)).toEqual([]);
    await database.drop();
  });

  it('names every problem of the environment at once, repeats no value, and ends with 1', async () => {
    const { code, stderr } = await programs.failToStart({
      PORT: 'http',
      DATABASE_URL: 'mysql://root:hunter2@localhost/x',
      LOG_LEVEL: 'loud',
      BOOTSTRAP_ADMIN_KEY: 'ua_madeup',
    });

    expect(code).toBe(1);
    expect(stderr.match(/^ {2}(PORT|DATABASE_URL|LOG_LEVEL|BOOTSTRAP_ADMIN_KEY) must/gm)).toHaveLength(4);
    expect(stderr).not.toMatch(/hunter2|ua_madeup|http\b.*http/);
  });
});
