import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { generateApiKey } from '../src/common/api-key-format.js';
import { administer, createDatabase, ownName, serverUrl } from './support/database.js';
import { Programs } from './support/server-process.js';

const run = promisify(execFile);
const FUTURE = '2099-01-01T00:00:00.000Z';
const OWNER_PASSWORD = 'change-me';
const APP_PASSWORD = 'change-me-too';

/**
 * The roles and the database as the README makes them, with names that no other run uses, since
 * roles belong to a server.
 */
class DocumentedRoles {
  readonly name = ownName();
  private readonly administrator = `${this.name}_administrator`;

  /** Of the database, as one of the roles or, without one, as a superuser. */
  url(role?: 'owner' | 'app', database = this.name): string {
    const url = new URL(serverUrl()); // a pooler would have to know the role
    url.pathname = `/${database}`;
    if (role !== undefined)
      [url.username, url.password] = [`${this.name}_${role}`, role === 'owner' ? OWNER_PASSWORD : APP_PASSWORD];
    return url.href;
  }

  /** Does as the README says, where the administrator is no superuser. */
  async create(): Promise<void> {
    await administer(`CREATE ROLE ${this.administrator} LOGIN CREATEROLE CREATEDB PASSWORD 'administrator'`);
    const administrator = new URL(serverUrl());
    [administrator.username, administrator.password] = [this.administrator, 'administrator'];
    for (const statement of await this.statements('CREATE ROLE')) await administer(statement, administrator.href);

    const [{ version } = { version: 0 }] = await administer<{ version: number }>(
      `SELECT current_setting('server_version_num')::int AS version`,
    );
    if (version < 150_000)
      for (const statement of await this.statements('REVOKE')) await administer(statement, this.url());

    const [, grant = ''] = /```sh\n(export PGPASSWORD[^`]+)```/.exec(await readFile('README.md', 'utf8')) ?? [];
    const { host } = new URL(serverUrl());
    await run('sh', ['-ec', this.renamed(grant.replace('127.0.0.1:5432', host))], { env: { PATH: process.env.PATH } });
  }

  async drop(): Promise<void> {
    await administer(`DROP DATABASE IF EXISTS ${this.name} WITH (FORCE)`);
    for (const role of [`${this.name}_owner`, `${this.name}_app`, this.administrator])
      await administer(`DROP ROLE IF EXISTS ${role}`);
  }

  private async statements(first: string): Promise<string[]> {
    const blocks = [...(await readFile('README.md', 'utf8')).matchAll(/```sql\n([^`]+)```/g)].map(
      ([, text = '']) => text,
    );
    const block = this.renamed(blocks.find((text) => text.startsWith(first)) ?? '');
    return block.split(/;.*\n/).filter(Boolean);
  }

  private renamed(text: string): string {
    return text.replace(/\busers_api(_owner|_app)?\b/g, `${this.name}$1`);
  }
}

describe('The role that the README makes for the instances', () => {
  const roles = new DocumentedRoles();
  let programs: Programs;
  beforeAll(async () => {
    programs = await Programs.inEmptyDirectory();
    await roles.create();
  });
  afterAll(async () => {
    await programs.dispose();
    await roles.drop();
  });

  const app = (): NodeJS.ProcessEnv => ({ DATABASE_URL: roles.url('app'), MIGRATIONS_RUN: 'false' });
  const asOwner = (sql: string): Promise<object[]> => administer(sql, roles.url('owner'));
  const withNames = (text: string): string => text.replaceAll('APP', `${roles.name}_app`);

  it('is enough for all that the server and its commands do, with MIGRATIONS_RUN=false', async () => {
    const admin = generateApiKey();
    const env = { ...app(), BOOTSTRAP_ADMIN_KEY: admin, NEW_USER_CREDITS: '5' };
    const server = await programs.startServer(env);
    const call = async (method: string, path: string, body?: object): Promise<unknown> => {
      const response = await fetch(`${server.url}/${path}`, {
        method,
        headers: { 'x-api-key': admin, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      expect({ path, status: response.status, ok: response.ok, text }).toMatchObject({ ok: true });
      return text === '' ? null : JSON.parse(text);
    };
    const key = { name: 'laptop', expires_at: FUTURE };

    await call('GET', 'readyz');
    await call('PATCH', 'v1/users/me', { name: 'Ada Lovelace' });
    const { id } = (await call('POST', 'v1/users', { name: 'Bob', email: 'bob@example.com' })) as { id: string };
    const movement = { user_id: id, amount: 3 };
    await call('POST', 'v1/billing/credits-add', { ...movement, transaction_id: 'one' });
    await call('POST', 'v1/billing/credits-deduct', { ...movement, transaction_id: 'two' });
    await call('POST', `v1/users/${id}/api-keys`, key);
    await call('POST', 'v1/api-keys', key);
    await call('PATCH', 'v1/api-keys/laptop', { name: 'desktop' });
    await call('POST', 'v1/api-keys/desktop/rotate', { expires_at: FUTURE, overlap_seconds: 60 });
    await call('POST', 'v1/api-keys/desktop/rotate', { expires_at: FUTURE, overlap_seconds: 0 }); // ends the overlap
    await call('DELETE', 'v1/api-keys/desktop');
    await call('DELETE', `v1/users/${id}`);
    for (const path of ['users', 'api-keys', 'audit-events', `billing/credit-history?user_id=${id}`])
      expect(((await call('GET', `v1/${path}`)) as { data: unknown[] }).data.length).toBeGreaterThan(0);
    const stopped = await server.end('SIGTERM'); // which writes when each key was used

    const reconciled = await programs.cli(['credits', 'reconcile'], env);
    const [used] = await administer(`SELECT FROM api_keys WHERE last_used_at IS NOT NULL`, roles.url());
    expect(stopped).toMatchObject({ code: 0 });
    expect(stopped.stdout).not.toMatch(/permission denied/);
    expect(reconciled).toMatchObject({ code: 0 });
    expect(used).toBeDefined();
  });

  it.each<[sql: string, message?: string]>([
    ['UPDATE credit_entries SET credits = 1'],
    ['DELETE FROM credit_entries'],
    ['TRUNCATE credit_entries'],
    ['UPDATE audit_events SET changes = changes'],
    ['DELETE FROM audit_events'],
    ['ALTER TABLE audit_events DISABLE TRIGGER ALL'],
    ['DELETE FROM users'],
    ['DELETE FROM api_keys'],
    ['DELETE FROM migrations'],
    ['CREATE TABLE mine (id int)'],
    ['SELECT erase_user(id) FROM users', 'permission denied for function erase_user'],
    [`SELECT remove_archived_events(gen_random_uuid(), '{}')`, 'permission denied for function remove_archived_events'],
  ])('is not enough for %s', async (sql, message = '') => {
    await expect(administer(sql, roles.url('app'))).rejects.toMatchObject({
      code: '42501',
      message: expect.stringContaining(message),
    });
  });

  it.each([
    ['SELECT ON migrations', 'GRANT SELECT ON migrations TO APP'],
    ['INSERT, UPDATE ON users', 'GRANT INSERT, UPDATE ON users TO APP'],
    ['INSERT ON audit_events', 'GRANT INSERT ON audit_events TO APP'],
    ['DELETE ON superseded_secrets', 'GRANT DELETE ON superseded_secrets TO APP'],
    ['USAGE ON SCHEMA public', 'GRANT USAGE ON SCHEMA public TO APP'],
  ])('without %s is told at the start what to grant, and that is enough', async (privilege, grant) => {
    await asOwner(withNames(`REVOKE ${privilege} FROM APP, PUBLIC`));

    const refused = await programs.failToStart(app());
    const [, statement = ''] = /^ {2}(GRANT .+);$/m.exec(refused.stderr) ?? [];
    await asOwner(statement);
    const server = await programs.startServer(app());
    await server.end('SIGTERM');

    expect(refused).toMatchObject({
      code: 1,
      stderr: withNames(
        `The role APP lacks rights in the database. The owner of the tables grants them with\n  ${grant};\n`,
      ),
    });
  });

  it('can neither erase nor archive, even where it may execute the functions, and is told who can', async () => {
    const env = app();
    const erase = ['users', 'erase', '--yes', '--email', 'bob@example.com'];
    const archive = ['audit', 'archive', '--before', '2026-01-01', '--to', 'events.jsonl'];
    const refused = [await programs.cli(erase, env), await programs.cli(archive, env)];
    await asOwner(withNames('GRANT EXECUTE ON FUNCTION erase_user(uuid, text) TO APP'));
    await expect(administer('SELECT erase_user(id) FROM users', roles.url('app'))).rejects.toMatchObject({
      code: '42501',
      message: 'must be owner of table audit_events',
    });
    await asOwner(withNames('REVOKE EXECUTE ON FUNCTION erase_user(uuid, text) FROM APP'));
    const erased = await programs.cli(erase, { ...env, DATABASE_URL: roles.url('owner') });

    for (const { code, stderr } of refused)
      expect([code, stderr]).toEqual([
        1,
        `users-api: The role ${roles.name}_app may add to audit_events and nothing more. Run this command as ${roles.name}_owner, which owns the table: name that role in DATABASE_URL.\n`,
      ]);
    expect(erased).toMatchObject({ code: 0, stderr: '' });
  });

  it('is told by a command, too', async () => {
    await asOwner(withNames('REVOKE SELECT ON users FROM APP'));

    const { code, stderr } = await programs.cli(['users', 'list'], app());
    await asOwner(withNames('GRANT SELECT ON users TO APP'));

    expect(code).toBe(1);
    expect(stderr).toMatch(withNames('The role APP lacks rights in the database.'));
    expect(stderr).toMatch(withNames('  GRANT SELECT ON users TO APP;'));
  });

  it('may run no migrations, and is told who does', async () => {
    const [last] = await administer<{ name: string }>(
      `DELETE FROM migrations WHERE id = (SELECT max(id) FROM migrations) RETURNING name`,
      roles.url('owner'),
    );

    const { code, stderr } = await programs.failToStart({ ...app(), MIGRATIONS_RUN: 'true' });
    await asOwner(`INSERT INTO migrations (timestamp, name) VALUES (9999999999999, '${last?.name ?? ''}')`);

    expect(code).toBe(1);
    expect(stderr).toMatch(
      new RegExp(
        `^The role ${roles.name}_app may not run the migrations: .+\\. Run them as ${roles.name}_owner, with "node dist/src/startup/migrate.js", and start with MIGRATIONS_RUN=false\\.\n$`,
      ),
    );
  });

  it('may not make the schema of an empty database, and is told what to grant', async () => {
    const empty = await createDatabase('empty');
    await administer('REVOKE CREATE ON SCHEMA public FROM PUBLIC', empty.directUrl);

    const { code, stderr } = await programs.failToStart({
      DATABASE_URL: roles.url('app', new URL(empty.directUrl).pathname.slice(1)),
    });
    await empty.drop();

    expect(code).toBe(1);
    expect(stderr).toMatch(
      withNames(
        'The role APP may not run the migrations: permission denied for schema public. Grant it what it needs, GRANT CREATE ON SCHEMA public TO APP;, or run them as another role',
      ),
    );
  });
});
