import { readFile } from 'node:fs/promises';
import { generateApiKey } from '../src/common/api-key-format.js';
import { administer, createDatabase, ownName, type TestDatabase } from './support/database.js';
import { Programs } from './support/server-process.js';

const FUTURE = '2099-01-01T00:00:00.000Z';

/** The role as the README makes it, but with a name that no other run uses at the same time, since roles belong to a server. */
async function createRole(database: TestDatabase): Promise<{ name: string; url: string }> {
  const [, block] = /```sql\n(CREATE ROLE users_api_app[^`]+)```/.exec(await readFile('README.md', 'utf8')) ?? [];
  if (block === undefined) throw new Error('The README has no role');
  const name = ownName();
  await administer(block.replaceAll('users_api_app', name), database.url);
  const url = new URL(database.directUrl); // a pooler would have to know the role
  [url.username, url.password] = [name, /PASSWORD '([^']+)'/.exec(block)?.[1] ?? ''];
  return { name, url: url.href };
}

describe('A database role with the grants of the README', () => {
  let programs: Programs;
  let database: TestDatabase;
  let role: { name: string; url: string };
  beforeEach(async () => {
    [programs, database] = await Promise.all([Programs.inEmptyDirectory(), createDatabase()]);
    role = await createRole(database);
  });
  afterEach(async () => {
    await programs.dispose();
    await database.drop();
    await administer(`DROP ROLE ${role.name}`);
  });

  it('is enough for all that the server and its commands do, with MIGRATIONS_RUN=false', async () => {
    const admin = generateApiKey();
    const env = { DATABASE_URL: role.url, MIGRATIONS_RUN: 'false', BOOTSTRAP_ADMIN_KEY: admin, NEW_USER_CREDITS: '5' };
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
    const [used] = await administer(`SELECT FROM api_keys WHERE last_used_at IS NOT NULL`, database.url);
    expect(stopped).toMatchObject({ code: 0 });
    expect(stopped.stdout).not.toMatch(/permission denied/);
    expect(reconciled).toMatchObject({ code: 0 });
    expect(used).toBeDefined();
  });

  it.each([
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
  ])('is not enough for %s', async (sql) => {
    await expect(administer(sql, role.url)).rejects.toMatchObject({ code: '42501' });
  });
});
