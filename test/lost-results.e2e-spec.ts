import { startTestApp, type TestApp } from './support/app.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

const UNAVAILABLE = { status: 503, message: 'The service is temporarily unavailable' };
const FUTURE = '2099-01-01T00:00:00.000Z';

/**
 * A component between the application and its tables, such as a pooler or a trigger, that loses
 * rows.
 */
describe('A result that lacks the row which its statement promises', () => {
  let database: TestDatabase;
  let app: TestApp;
  let ada: GivenUser;

  /**
   * The look-ups begin with `unnest`: another one of that name stands in the way of PostgreSQL's
   * own.
   */
  const unnest = (type: 'bytea' | 'uuid', rows: string): Promise<unknown> =>
    administer(
      `CREATE OR REPLACE FUNCTION component.unnest(asked ${type}[]) RETURNS SETOF ${type} LANGUAGE sql AS $$ ${rows} $$`,
      database.directUrl,
    );
  const AS_EVER = 'SELECT pg_catalog.unnest(asked)';
  const swallow = (event: 'INSERT' | 'UPDATE', table: string): Promise<unknown> =>
    administer(
      `CREATE OR REPLACE FUNCTION component.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
       CREATE TRIGGER swallow BEFORE ${event} ON ${table} FOR EACH ROW EXECUTE FUNCTION component.swallow()`,
      database.directUrl,
    );

  beforeAll(async () => {
    database = await createDatabase();
    const name = new URL(database.directUrl).pathname.slice(1);
    await administer('CREATE SCHEMA component', database.directUrl);
    await administer(`ALTER DATABASE ${name} SET search_path = component, pg_catalog, public`);
    app = await startTestApp(database.url);
  });
  beforeEach(async () => {
    await Promise.all([unnest('bytea', AS_EVER), unnest('uuid', AS_EVER)]);
    ada = await app.given.user();
  });
  afterEach(() => administer('DROP FUNCTION IF EXISTS component.swallow CASCADE', database.directUrl));
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it.each([
    ['no row', 'SELECT NULL::bytea LIMIT 0'],
    ['the row of another key', `SELECT sha256('another')`],
    ['a row too many', `SELECT pg_catalog.unnest(asked || asked)`],
  ])('503 and never 401 where the look-up of a key has %s', async (_, rows) => {
    await unnest('bytea', rows);

    const { status, body, headers } = await app.as(ada).get('/v1/users/me').retry(0);
    await unnest('bytea', AS_EVER);
    const afterwards = await app.as(ada).get('/v1/users/me');

    expect([status, body]).toEqual([503, UNAVAILABLE]);
    expect(headers).toMatchObject({ 'retry-after': '1' });
    expect(headers).not.toHaveProperty('www-authenticate');
    expect(afterwards.status).toBe(200);
  });

  it('503 and not 404 where the look-up of a user has no row', async () => {
    await unnest('uuid', 'SELECT NULL::uuid LIMIT 0');

    const { status, body } = await app.as(ada).get('/v1/users/me').retry(0);

    expect([status, body]).toEqual([503, UNAVAILABLE]);
  });

  it('503 and not 200 where a change of a user was not made', async () => {
    await swallow('UPDATE', 'users');

    const { status, body } = await app.as(ada).patch('/v1/users/me').send({ name: 'New' }).retry(0);

    expect([status, body]).toEqual([503, UNAVAILABLE]);
    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it('503 and not 402 where a movement was not made, and no entry tells of it', async () => {
    const admin = await app.given.user({ isAdmin: true });
    await swallow('UPDATE', 'users');

    const { status, body } = await app
      .as(admin)
      .post('/v1/billing/credits-add')
      .send({ user_id: ada.id, amount: 5, transaction_id: 'a' })
      .retry(0);

    expect([status, body]).toEqual([503, UNAVAILABLE]);
    expect(await app.rows('SELECT FROM credit_entries WHERE user_id = $1', [ada.id])).toEqual([]);
  });

  it('503 and not 500 where a user was not made', async () => {
    const admin = await app.given.user({ isAdmin: true });
    await swallow('INSERT', 'users');

    const { status, body } = await app
      .as(admin)
      .post('/v1/users')
      .send({ name: 'New', email: 'new@example.com' })
      .retry(0);

    expect([status, body]).toEqual([503, UNAVAILABLE]);
  });

  it('503 and not 400 where a key was not made', async () => {
    await swallow('INSERT', 'api_keys');

    const { status, body } = await app
      .as(ada)
      .post('/v1/api-keys')
      .send({ name: 'laptop', expires_at: FUTURE })
      .retry(0);

    expect([status, body]).toEqual([503, UNAVAILABLE]);
  });

  it('503 and not 404 where a change, a rotation or a revocation of a key was not made', async () => {
    await swallow('UPDATE', 'api_keys');

    const answers = [
      await app.as(ada).patch('/v1/api-keys/first-key').send({ name: 'other' }).retry(0),
      await app.as(ada).post('/v1/api-keys/first-key/rotate').send({ expires_at: FUTURE }).retry(0),
      await app.as(ada).delete('/v1/api-keys/first-key').retry(0),
      await app.as(ada).delete('/v1/api-keys/current').retry(0),
    ];

    for (const { status, body } of answers) expect([status, body]).toEqual([503, UNAVAILABLE]);
    expect((await app.as(ada).get('/v1/api-keys/current')).body).toMatchObject({ name: 'first-key', status: 'ACTIVE' });
  });
});
