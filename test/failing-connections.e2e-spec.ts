import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import fc from 'fast-check';
import type pg from 'pg';
import { BoundedPool } from '../src/database/bounded-pool.js';
import { PoolClient, READ_ONLY, UNRESPONSIVE } from '../src/database/pool-client.js';
import { startTestApp, type TestApp } from './support/app.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';
import { type Proxy, startProxy } from './support/proxy.js';

const UNAVAILABLE = { status: 503, message: 'The service is temporarily unavailable' };
const FUTURE = '2099-01-01T00:00:00.000Z';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

/** A message of the PostgreSQL protocol: its kind, its length, and what follows. */
const message = (kind: string, rest: readonly number[], length = rest.length + 4): Buffer =>
  Buffer.concat([
    Buffer.from(kind),
    Buffer.from([length >>> 24, length >>> 16, length >>> 8, length]),
    Buffer.from(rest),
  ]);

describe('A message of the database that the driver cannot read', () => {
  let proxy: Proxy;
  let app: TestApp;
  let ada: GivenUser;
  beforeAll(async () => {
    proxy = await startProxy(database.url);
    app = await startTestApp(proxy.url);
    ada = await app.given.user();
  });
  afterAll(async () => {
    await app.close();
    await proxy.close();
  });

  it.each([
    ['a login with GSS, as pg_hba.conf may ask for', message('R', [0, 0, 0, 7])],
    ['a row that ends before its last column', message('D', [0, 9, 0, 0, 0, 9])],
    ['a row outside of a result', message('D', [0, 0])],
    ['an unknown kind of message', message('?', [0])],
    ['an impossible length', message('T', [], 0)],
    ['a negative length', message('T', [], -1)],
  ])('503, and the process lives on: %s', async (_, bytes) => {
    proxy.answer(bytes);

    const during = await app.as(ada).get('/v1/users/me').retry(0);
    const after = await app.as(ada).get('/v1/users/me');

    expect(during.body).toEqual(UNAVAILABLE);
    expect(after.status).toBe(200);
  });

  it('503 while connecting too', async () => {
    for (const bytes of [message('R', [0, 0, 0, 7]), message('R', [], 0)]) {
      proxy.restore(); // so that the next statement needs a new connection
      proxy.answer(bytes);

      const during = await app.as(ada).get('/v1/users/me').retry(0);

      expect(during.body).toEqual(UNAVAILABLE);
    }
  });

  it('503 whatever the bytes are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 64 }), async (bytes) => {
        proxy.answer(bytes);

        const during = await app.as(ada).get('/v1/users/me').retry(0);

        expect(during.body).toEqual(UNAVAILABLE);
      }),
      { numRuns: 50 },
    );
    expect((await app.as(ada).get('/v1/users/me')).status).toBe(200);
  });
});

describe('A connection that is lost between any two statements of a request', () => {
  let proxy: Proxy;
  let app: TestApp;
  let admin: GivenUser;
  let turn = 0;
  beforeAll(async () => {
    proxy = await startProxy(database.url);
    app = await startTestApp(proxy.url);
    admin = await app.given.user({ isAdmin: true });
  });
  afterAll(async () => {
    await app.close();
    await proxy.close();
  });

  /** A key that no earlier attempt has made or changed. */
  const aKey = async (): Promise<string> => {
    turn += 1;
    const name = `key-${String(turn)}`;
    await app.as(admin).post('/v1/api-keys').send({ name, expires_at: FUTURE });
    return name;
  };
  const unique = (): string => String((turn += 1));
  const credits = (amount: number): object => ({ user_id: admin.id, amount, transaction_id: unique() });
  /** An open hold, for the credits of which others need not wait. */
  const aHold = async (): Promise<string> => {
    await app.as(admin).post('/v1/billing/credits-add').send(credits(1));
    const { body } = await app.as(admin).post('/v1/billing/holds').send(credits(1));
    return (body as { id: string }).id;
  };

  const REQUESTS: Readonly<
    Record<string, () => Promise<readonly ['get' | 'post' | 'patch' | 'delete', string, object?]>>
  > = {
    'GET /v1/users/me': () => Promise.resolve(['get', '/v1/users/me']),
    'PATCH /v1/users/me': () => Promise.resolve(['patch', '/v1/users/me', { name: `Name ${unique()}` }]),
    'POST /v1/api-keys': () =>
      Promise.resolve(['post', '/v1/api-keys', { name: `new-${unique()}`, expires_at: FUTURE }]),
    'GET /v1/api-keys': () => Promise.resolve(['get', '/v1/api-keys']),
    'GET /v1/api-keys/{key_name}': async () => ['get', `/v1/api-keys/${await aKey()}`],
    'PATCH /v1/api-keys/{key_name}': async () => [
      'patch',
      `/v1/api-keys/${await aKey()}`,
      { name: `other-${unique()}` },
    ],
    'DELETE /v1/api-keys/{key_name}': async () => ['delete', `/v1/api-keys/${await aKey()}`],
    'POST /v1/api-keys/{key_name}/rotate': async () => [
      'post',
      `/v1/api-keys/${await aKey()}/rotate`,
      { expires_at: FUTURE, overlap_seconds: 60 },
    ],
    'GET /v1/billing/credit-history': () => Promise.resolve(['get', '/v1/billing/credit-history']),
    'POST /v1/users': () => Promise.resolve(['post', '/v1/users', { name: 'New', email: `${unique()}@example.com` }]),
    'GET /v1/users': () => Promise.resolve(['get', '/v1/users']),
    'GET /v1/users/{user_id}': () => Promise.resolve(['get', `/v1/users/${admin.id}`]),
    'PATCH /v1/users/{user_id}': async () => [
      'patch',
      `/v1/users/${(await app.given.user()).id}`,
      { status: 'INACTIVE', name: 'Gone' },
    ],
    'DELETE /v1/users/{user_id}': async () => ['delete', `/v1/users/${(await app.given.user()).id}`],
    'POST /v1/users/{user_id}/api-keys': async () => [
      'post',
      `/v1/users/${(await app.given.user()).id}/api-keys`,
      { name: 'given', expires_at: FUTURE },
    ],
    'GET /v1/users/{user_id}/api-keys': () => Promise.resolve(['get', `/v1/users/${admin.id}/api-keys`]),
    'GET /v1/users/{user_id}/api-keys/{key_name}': async () => [
      'get',
      `/v1/users/${admin.id}/api-keys/${await aKey()}`,
    ],
    'PATCH /v1/users/{user_id}/api-keys/{key_name}': async () => [
      'patch',
      `/v1/users/${admin.id}/api-keys/${await aKey()}`,
      { name: `other-${unique()}` },
    ],
    'DELETE /v1/users/{user_id}/api-keys/{key_name}': async () => [
      'delete',
      `/v1/users/${admin.id}/api-keys/${await aKey()}`,
    ],
    'POST /v1/users/{user_id}/api-keys/{key_name}/rotate': async () => [
      'post',
      `/v1/users/${admin.id}/api-keys/${await aKey()}/rotate`,
      { expires_at: FUTURE, overlap_seconds: 60 },
    ],
    'POST /v1/leaked-keys': async () => ['post', '/v1/leaked-keys', { keys: [(await app.given.user()).key] }],
    'POST /v1/verify': () =>
      Promise.resolve(['post', '/v1/verify', { key: admin.key, charge: { amount: 1, transaction_id: unique() } }]),
    'GET /v1/forward-auth': () => Promise.resolve(['get', '/v1/forward-auth']),
    'GET /v1/audit-events': () => Promise.resolve(['get', '/v1/audit-events']),
    'POST /v1/billing/credits-add': () =>
      Promise.resolve(['post', '/v1/billing/credits-add', { user_id: admin.id, amount: 5, transaction_id: unique() }]),
    'POST /v1/billing/credits-deduct': () =>
      Promise.resolve([
        'post',
        '/v1/billing/credits-deduct',
        { user_id: admin.id, amount: 1, transaction_id: unique() },
      ]),
    'GET /v1/billing/balance': () => Promise.resolve(['get', '/v1/billing/balance']),
    'GET /v1/users/{user_id}/balance': () => Promise.resolve(['get', `/v1/users/${admin.id}/balance`]),
    'POST /v1/billing/holds': async () => {
      await app.as(admin).post('/v1/billing/credits-add').send(credits(1));
      return ['post', '/v1/billing/holds', credits(1)];
    },
    'GET /v1/billing/holds': () => Promise.resolve(['get', '/v1/billing/holds']),
    'GET /v1/billing/holds/{hold_id}': async () => ['get', `/v1/billing/holds/${await aHold()}`],
    'POST /v1/billing/holds/{hold_id}/capture': async () => [
      'post',
      `/v1/billing/holds/${await aHold()}/capture`,
      { amount: 1 },
    ],
    'DELETE /v1/billing/holds/{hold_id}': async () => ['delete', `/v1/billing/holds/${await aHold()}`],
    'GET /readyz': () => Promise.resolve(['get', '/readyz']),
  };

  it('is tried for every route that asks the database', async () => {
    const { paths } = (await app.anyone().get('/docs-json')).body as { paths: Record<string, object> };
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );

    // The key that made the request is looked up and revoked by its id, with the statements of a
    // key by its name.
    const others = ['GET /livez', 'GET /v1/api-keys/current', 'DELETE /v1/api-keys/current'];
    expect(routes.filter((route) => !others.includes(route)).sort()).toEqual(Object.keys(REQUESTS).sort());
  });

  const ENDS = ['with a message', 'without a message'] as const;

  it.each(ENDS.flatMap((end) => Object.entries(REQUESTS).map(([route, make]) => [route, end, make] as const)))(
    '503, never 500, and the next request is served: %s, %s',
    async (_route, end, make) => {
      const outcomes: unknown[] = [];
      for (let statements = 1; outcomes.at(-1) !== 'done'; statements += 1) {
        const [method, path, body] = await make();
        // One connection, so that statements of this request alone are counted.
        proxy.restore();
        await app.as(admin).get('/v1/users/me');
        proxy.cutAfter(statements, end);

        const response = await app.as(admin)[method](path).send(body).retry(0);
        proxy.cutAfter(Infinity);

        outcomes.push(response.status < 300 ? 'done' : response.body);
      }

      expect(new Set(outcomes.slice(0, -1).map((body) => JSON.stringify(body)))).toEqual(
        outcomes.length > 1 ? new Set([JSON.stringify(UNAVAILABLE)]) : new Set(),
      );
    },
  );
});

describe('A server that has become read-only', () => {
  let own: TestDatabase;
  let app: TestApp;
  let admin: GivenUser;
  beforeAll(async () => {
    own = await createDatabase();
    app = await startTestApp(own.url);
    admin = await app.given.user({ isAdmin: true });
  });
  afterAll(async () => {
    await app.close();
    await own.drop();
  });

  /**
   * Sessions keep the setting with which they were opened, as they stay with a primary that was
   * demoted.
   */
  const demote = async (): Promise<void> => {
    const name = new URL(own.directUrl).pathname.slice(1);
    await administer(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    await administer(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${name}' AND backend_type = 'client backend'`,
    );
  };
  const promoteAnother = async (): Promise<void> => {
    const name = new URL(own.directUrl).pathname.slice(1);
    await administer(`ALTER DATABASE ${name} RESET default_transaction_read_only`);
  };

  it.each([
    ['probes of readiness', () => app.anyone().get('/readyz').retry(0)],
    [
      'changes of a user',
      () =>
        app
          .as(admin)
          .patch('/v1/users/me')
          .send({ name: `Name ${String(Math.random())}` })
          .retry(0),
    ],
    [
      'new keys',
      () =>
        app
          .as(admin)
          .post('/v1/api-keys')
          .send({ name: `k${String(Math.random()).slice(2)}`, expires_at: FUTURE })
          .retry(0),
    ],
  ])('is left while %s arrive without a pause, and reads go on meanwhile', async (_, send) => {
    await demote();

    const during = await send();
    const read = await app.as(admin).get('/v1/users/me').retry(0);
    await promoteAnother();
    let after = await send();
    while (after.status === 503) after = await send();

    expect(during.status).toBe(503);
    expect(read.status).toBe(200);
    expect(after.status).toBeLessThan(300);
  });
});

describe('An error 0A000 that is not about a cached plan', () => {
  it('is not repeated on connection after connection', async () => {
    const own = await createDatabase();
    const app = await startTestApp(own.url);
    const ada = await app.given.user();
    await administer(
      `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '0A000'; END $$;
       CREATE TRIGGER fail BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail()`,
      own.directUrl,
    );

    let status = 0;
    const statements = await app.statementsDuring(async () => {
      ({ status } = await app.as(ada).patch('/v1/users/me').send({ name: 'New' }));
    });

    expect(status).toBe(500);
    expect(statements).toBe(3); // the key, the change in a batch, and the change alone
    await app.close();
    await own.drop();
  });
});

describe('A server that refuses a write as read-only', () => {
  // Servers before PostgreSQL 14 do not report that they take no writes.
  it('is known from the refusal, once for each, and from no other failure', async () => {
    const pool = new BoundedPool({ connectionString: database.directUrl, max: 1, Client: PoolClient });
    const client = await pool.connect();
    let known = 0;
    (client as unknown as EventEmitter).on(READ_ONLY, () => {
      known += 1;
    });
    const fail = (code: string): Promise<unknown> =>
      client.query(`DO $$ BEGIN RAISE SQLSTATE '${code}'; END $$`).catch(() => undefined);

    await fail('23505');
    const before = known;
    await fail('25006');

    expect([before, known]).toEqual([0, 1]);
    client.release();
    await pool.end();
  });
});

describe('A pool of which one connection is unresponsive', () => {
  const open = (): BoundedPool => new BoundedPool({ connectionString: database.directUrl, max: 4, Client: PoolClient });

  /** Closes a connection as after a timeout, while the server executes its statement. */
  const abandonOne = async (pool: BoundedPool): Promise<void> => {
    const client = await pool.connect();
    const { processID, connection } = client as unknown as { processID: number; connection: { stream: Duplex } };
    const statement = client.query('SELECT pg_sleep(600)').catch(() => undefined);
    const active = `SELECT FROM pg_stat_activity WHERE pid = ${String(processID)} AND query LIKE 'SELECT pg_sleep%'`;
    while ((await administer(active, database.directUrl)).length === 0);
    connection.stream.destroy();
    (client as unknown as EventEmitter).emit(UNRESPONSIVE);
    await statement;
    client.release(true);
  };
  const endAbandoned = async (pool: BoundedPool): Promise<void> => {
    await administer(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)'
                        AND datname = '${new URL(database.directUrl).pathname.slice(1)}'`);
    while (pool.abandonedCount > 0) await new Promise(setImmediate);
  };

  it('lends no idle connection that it is about to close', async () => {
    const pool = open();
    const [slow, idle] = await Promise.all([pool.connect(), pool.connect()]);
    idle.release();

    const failure = await slow
      .query({ text: 'SELECT pg_sleep(5)', query_timeout: 1 } as pg.QueryConfig)
      .catch(() => 'late');
    const next = await pool.connect();
    const { rows } = await next.query('SELECT 1 AS one');

    expect(failure).toBe('late');
    expect(rows).toEqual([{ one: 1 }]);
    expect(next).not.toBe(idle);
    slow.release(true);
    next.release();
    await pool.end();
  });

  it('lends a request that waits another connection, not the one that was closed just before', async () => {
    const pool = open();
    const [slow, ...others] = await Promise.all([pool.connect(), pool.connect(), pool.connect(), pool.connect()]);
    const waiting = pool.connect();

    await slow.query({ text: 'SELECT pg_sleep(5)', query_timeout: 1 } as pg.QueryConfig).catch(() => undefined);
    slow.release();
    const next = await waiting;
    const { rows } = await next.query('SELECT 1 AS one');

    expect(rows).toEqual([{ one: 1 }]);
    for (const client of [next, ...others]) client.release();
    await pool.end();
  });

  // As TypeORM leaves it where savepoints of one transaction overlap: a movement of credits that
  // was made in it was acknowledged, and lost.
  it.each([
    ['open', 'SELECT 1'],
    ['failed', 'SELECT 1 / 0'],
  ])('lends no connection with a transaction that was left %s', async (_, statement) => {
    const pool = open();
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query(statement).catch(() => undefined);
    client.release();

    const next = await pool.connect();
    await next.query('CREATE TEMPORARY TABLE kept ()');
    const { rowCount } = await next.query(
      `SELECT FROM pg_class WHERE relname = 'kept' AND xmin = pg_current_xact_id_if_assigned()::xid`,
    );

    expect(rowCount).toBe(0);
    next.release();
    await pool.end();
  });

  it('refuses changes from half a pool of abandoned statements on, and takes them again once these have ended', async () => {
    const pool = open();
    const abandon = (): Promise<void> => abandonOne(pool);
    const outcome = async (text: string): Promise<string> => {
      const client = await pool.connect();
      try {
        return await client.query(text).then(
          () => 'done',
          (error: unknown) => (error as Error).message,
        );
      } finally {
        client.release();
      }
    };
    const change = 'UPDATE users SET name = name WHERE false';

    await abandon();
    const withOne = await outcome(change);
    await abandon();
    const withTwo = [await outcome(change), await outcome('SELECT FROM users LIMIT 1')];
    await Promise.all([abandon(), abandon()]);
    const withFour = [await outcome(change), await outcome('SELECT FROM users LIMIT 1'), pool.abandonedCount];
    await endAbandoned(pool);
    const afterwards = await outcome(change);

    const refused = 'The service is temporarily unavailable';
    expect(withOne).toBe('done');
    expect(withTwo).toEqual([refused, 'done']);
    expect(withFour).toEqual([refused, refused, 4]);
    expect(afterwards).toBe('done');
    await pool.end();
  });

  // Otherwise the connection goes back to the pool with the open transaction: the next movement of
  // credits on it was acknowledged, and lost.
  it('refuses neither a rollback nor a savepoint, however many statements are abandoned', async () => {
    const pool = open();
    const client = await pool.connect();
    await client.query('BEGIN');
    for (let abandoned = 0; abandoned < 4; abandoned += 1) await abandonOne(pool);

    const outcomes: string[] = [];
    for (const text of ['SAVEPOINT a', 'ROLLBACK TO SAVEPOINT a', 'RELEASE SAVEPOINT a', 'COMMIT', 'ROLLBACK'])
      outcomes.push(
        await client.query(text).then(
          ({ command }) => command,
          (error: unknown) => (error as Error).message,
        ),
      );
    client.release();
    await endAbandoned(pool);

    const refused = 'The service is temporarily unavailable';
    expect(outcomes).toEqual(['SAVEPOINT', 'ROLLBACK', 'RELEASE', refused, 'ROLLBACK']);
    await pool.end();
  });
});
