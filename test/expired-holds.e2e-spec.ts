import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { CreditsService } from '../src/credits/credits.service.js';
import { ExpiredHolds } from '../src/credits/holds/expired-holds.js';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';

describe('The sweep of expired holds', () => {
  let database: TestDatabase;
  let app: TestApp;
  beforeEach(async () => {
    database = await createDatabase();
    app = await startTestApp(database.url, { DATABASE_TRANSACTION_POOLER: 'true' });
  });
  afterEach(async () => {
    await app.close();
    await database.drop();
  });

  const sweep = (): Promise<void> => app.nest.get(ExpiredHolds, { strict: false }).sweep();
  /** Accounts with holds that have expired, the holds of the first account first. */
  const expired = (accounts: number, holds: number): Promise<unknown> =>
    app.given.sql(
      `WITH account AS (
         INSERT INTO users (id, name, email, credits_balance, credits_held)
         SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'User', n || '@example.com', $2, $2
           FROM generate_series(1, $1::int) AS n RETURNING id)
       INSERT INTO credit_holds (created_at, user_id, amount, expires_at, transaction_id, transaction_type, actor)
       SELECT now() - interval '2 days', id, 1, now() - interval '1 day', 'job-' || n, 'JOB', 'APPLICATION'
         FROM account, generate_series(1, $2::int) AS n`,
      [accounts, holds],
    );
  /** Accounts with holds that are stored as open, and the credits that are stored as held. */
  const left = async (): Promise<unknown> =>
    (
      await app.rows(
        `SELECT (SELECT count(DISTINCT user_id)::int FROM credit_holds WHERE status = 'OPEN') AS accounts,
                (SELECT sum(credits_held)::int FROM users) AS held`,
      )
    )[0];

  it('releases all of more accounts, and of more holds, than one statement takes', async () => {
    await expired(205, 1);
    await app.given.sql(
      `WITH account AS (
         INSERT INTO users (name, email, credits_balance, credits_held) VALUES ('Busy', 'busy@example.com', 1001, 1001) RETURNING id)
       INSERT INTO credit_holds (created_at, user_id, amount, expires_at, transaction_id, transaction_type, actor)
       SELECT now() - interval '2 days', id, 1, now() - interval '1 day', 'job-' || n, 'JOB', 'APPLICATION'
         FROM account, generate_series(1, 1001) AS n`,
    );

    await sweep();

    expect(await left()).toEqual({ accounts: 0, held: 0 });
  });

  // Fifty thousand holds in one statement took longer than `statement_timeout`: no sweep ended any.
  it('ends no more than 500 holds in one statement, of however many accounts', async () => {
    await expired(4, 400);
    await app.given.sql('CREATE TABLE ended_together (holds int)');
    await app.given.sql(`CREATE FUNCTION count_ended() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO ended_together SELECT count(*) FROM changed;
        RETURN NULL;
      END
    $$`);
    await app.given.sql(`CREATE TRIGGER tr_count_ended AFTER UPDATE ON credit_holds
      REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_ended()`);

    await sweep();

    expect(await app.rows('SELECT holds FROM ended_together WHERE holds > 0 ORDER BY holds')).toEqual(
      [100, 500, 500, 500].map((holds) => ({ holds })),
    );
    expect(await left()).toEqual({ accounts: 0, held: 0 });
  });

  // A hundred accounts are those that one statement takes: others must not wait for them.
  it('leaves out accounts that are locked, even a hundred at the front, ends, and releases them the next time', async () => {
    await expired(150, 2);
    const { url } = app.nest.get(DataSource).options as { url: string };
    const other = new Client({ connectionString: url });
    await other.connect();
    await other.query('BEGIN');
    await other.query('SELECT FROM (SELECT FROM users ORDER BY id LIMIT 101 FOR NO KEY UPDATE) AS locked');

    await sweep();
    const during = await left();
    await other.query('COMMIT');
    await other.end();
    await sweep();

    expect(during).toEqual({ accounts: 101, held: 202 });
    expect(await left()).toEqual({ accounts: 0, held: 0 });
  });

  it('divides the work with other instances: each hold is released once', async () => {
    await expired(300, 2);
    const second = await startTestApp(database.url);

    await Promise.all([sweep(), second.nest.get(ExpiredHolds, { strict: false }).sweep()]);
    await sweep();
    await second.close();

    expect(await left()).toEqual({ accounts: 0, held: 0 });
  });

  it('ends after a slice when it is told to stop', async () => {
    await expired(250, 1);
    const stop = new AbortController();
    const sweeping = app.nest.get(CreditsService).releaseExpiredHolds(stop.signal);
    stop.abort();

    await sweeping;

    expect(await left()).not.toEqual({ accounts: 0, held: 0 });
  });

  it('logs a failure and throws none', async () => {
    const { url } = app.nest.get(DataSource).options as { url: string };
    const broken = await startTestApp(url);
    await broken.nest.get(DataSource).destroy();

    await expect(broken.nest.get(ExpiredHolds, { strict: false }).sweep()).resolves.toBeUndefined();
  });
});
