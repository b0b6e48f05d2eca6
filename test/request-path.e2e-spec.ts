import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Client } from 'pg';
import type { Response, Test } from 'supertest';
import sql from 'sql-template-tag';
import { DataSource } from 'typeorm';
import { CreditsService } from '../src/credits/credits.service.js';
import { Statement } from '../src/database/statement.js';
import { UsersService } from '../src/users/users.service.js';
import { succeeded } from './support/agent.js';
import { startTestApp, useTestApp } from './support/app.js';
import { createDatabase } from './support/database.js';
import { explain } from './support/explain.js';
import { type GivenUser } from './support/given.js';
import { ATTEMPTS, patiently } from './support/patience.js';

const app = useTestApp();
/** One after the other: making them is not what is tested. */
const users = async (count: number): Promise<GivenUser[]> => {
  const made: GivenUser[] = [];
  while (made.length < count) made.push(await app.given.user());
  return made;
};
const patch = (user: GivenUser, name: string, ifMatch?: string) => {
  const sent = app.as(user).patch('/v1/users/me');
  return (ifMatch === undefined ? sent : sent.set('If-Match', ifMatch)).send({ name });
};

describe('Patches that arrive together', () => {
  it('200 each with its own row, its own audit event and its own request id', async () => {
    const callers = await users(40);

    const answers = await Promise.all(
      callers.map((user, n) => patch(user, `Caller ${String(n)}`).set('x-request-id', `together-${String(n)}`)),
    );

    const events = (await app.rows(
      `SELECT user_id, actor_user_id, request_id, changes FROM audit_events WHERE request_id LIKE 'together-%'`,
    )) as { user_id: string }[];
    expect(answers.map(({ body }) => (body as { name: string }).name)).toEqual(
      callers.map((_, n) => `Caller ${String(n)}`),
    );
    expect(answers.map(({ headers }) => (headers as Record<string, string>).etag)).toEqual(
      callers.map(({ id }) => `"${id}.2"`),
    );
    expect(events).toHaveLength(40);
    for (const [n, { id }] of callers.entries()) {
      expect(events.find(({ user_id }) => user_id === id)).toEqual({
        user_id: id,
        actor_user_id: id,
        request_id: `together-${String(n)}`,
        changes: { name: { before: 'Dull Default', after: `Caller ${String(n)}` } },
      });
    }
  });

  it('of one user, with the same If-Match: one is 200, all others are 412', async () => {
    const ada = await app.given.user();

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => patch(ada, `N${String(n)}`, `"${ada.id}.1"`)),
    );

    expect(answers.filter(succeeded)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(19);
    expect(await app.stored(ada)).toMatchObject({ version: '2' });
  });

  it('of one user, without a condition: all are 200, and the version counts each', async () => {
    const ada = await app.given.user();

    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => patch(ada, `N${String(n)}`)));

    const events = await app.rows(`SELECT FROM audit_events WHERE user_id = $1 AND action = 'user.updated'`, [ada.id]);
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect(events.length).toBeGreaterThanOrEqual(20); // more where a change whose caller got 503 was made again
    expect(await app.stored(ada)).toMatchObject({ version: String(1 + events.length) });
  });

  // What was answered 503 and done later would undo what another was told was done.
  it('of one user, more than its row can take: what is refused is never done', async () => {
    const ada = await app.given.user();
    const agent = new Agent({ keepAlive: true });
    const send = (name: string): Promise<number> =>
      new Promise((resolve, reject) => {
        const headers = { 'x-api-key': ada.key, 'content-type': 'application/json' };
        request({ port: app.port, method: 'PATCH', path: '/v1/users/me', headers, agent }, (answer) => {
          answer.resume().once('end', () => {
            resolve(answer.statusCode ?? 0);
          });
        })
          .once('error', reject)
          .end(JSON.stringify({ name }));
      });

    // The row is held until the first are refused: so some are, however fast the machine is.
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [ada.id]);
    let released: Promise<unknown> | undefined;
    const statuses = await Promise.all(
      Array.from({ length: 300 }, async (_, n) => {
        const status = await send(`N${String(n)}`);
        if (status === 503) released ??= release();
        return status;
      }),
    );
    await released;
    const { version } = await app.stored(ada);
    const last = await send('Last');
    agent.destroy();

    expect(statuses.filter((status) => ![200, 503].includes(status))).toEqual([]);
    expect(statuses).toContain(503);
    expect(Number(version)).toBe(1 + statuses.filter((status) => status === 200).length);
    expect(last).toBe(200);
    expect(await app.stored(ada)).toMatchObject({ name: 'Last', version: String(Number(version) + 1) });
  });

  /**
   * Sends requests that wait for a lock, and others behind them, until the others all succeed
   * before the first ones are answered. On a busy machine a lock is given up, with 503, before the
   * others get their turn. In a server where they wait for the same lock, or for a connection that
   * waits for it, they never succeed first.
   */
  const overtake = async (
    sendWaiting: (round: number) => Promise<Response>[],
    sendOthers: (round: number) => Promise<Response>[],
  ): Promise<{ waited: number[]; others: number[] }> => {
    for (let round = 1; ; round += 1) {
      let answered = 0;
      const waiting = sendWaiting(round).map(async (sent) => {
        const { status } = await sent;
        answered += 1;
        return status;
      });
      const others = (await Promise.all(sendOthers(round))).map(({ status }) => status);
      const overtook = answered === 0 && others.every((status) => status === 200);
      const waited = await Promise.all(waiting);
      if (overtook) return { waited, others };
      if (round === ATTEMPTS)
        throw new Error(`Those that wait got ${waited.join()} first, and the others ${others.join()}`);
    }
  };

  it('do not wait for the one whose row somebody holds', async () => {
    const [held, ...others] = (await users(10)) as [GivenUser, ...GivenUser[]];
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [held.id]);

    const first = await overtake(
      (round) => [patch(held, `Waits ${String(round)}`).retry(0)],
      (round) => others.map((user) => patch(user, `Does not wait ${String(round)}`).retry(0)),
    );
    await release();

    expect(first).toEqual({ waited: [503], others: Array(9).fill(200) });
    expect((await patch(held, 'Waits no more')).status).toBe(200);
  });

  // The application leaves time limits to the database here, which has none: a statement that waits
  // for the row would wait until the connection is given up.
  it('do not wait in one statement with the one whose row somebody holds', async () => {
    const [held, ...others] = (await users(10)) as [GivenUser, ...GivenUser[]];
    const { url } = app.nest.get(DataSource).options as { url: string };
    const unlimited = await startTestApp(url, { DATABASE_TRANSACTION_POOLER: 'true' });
    const rename = ({ id }: GivenUser) => unlimited.nest.get(UsersService).updateProfile(id, { name: 'New' });
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [held.id]);

    let waited: Promise<unknown> | undefined;
    const written = await patiently(() => {
      waited = rename(held).catch((error: unknown) => error);
      return Promise.all(others.map(rename)); // in the same turn: one statement
    });
    await release();
    await waited;
    await unlimited.close();

    expect(written.map(({ id, name }) => [id, name])).toEqual(others.map(({ id }) => [id, 'New']));
  });

  it('do not wait in one statement with a correction whose address another transaction has taken', async () => {
    const others = await users(9);
    const wanting = await users(ATTEMPTS); // another one for each attempt: a second change of a user would wait for the first
    const emails = wanting.map(() => `${randomUUID()}@example.com`);
    const { url } = app.nest.get(DataSource).options as { url: string };
    const unlimited = await startTestApp(url, { DATABASE_TRANSACTION_POOLER: 'true' });
    const service = unlimited.nest.get(UsersService);
    const release = await app.hold(`INSERT INTO users (name, email) SELECT 'Not committed', unnest($1::text[])`, [
      emails,
    ]);

    let last = 0;
    let waited: Promise<unknown> | undefined;
    const written = await patiently((attempt) => {
      last = attempt - 1;
      const renamed = others.map(({ id }) => service.updateProfile(id, { name: 'New' }));
      waited = service.change(wanting[last]?.id ?? '', { email: emails[last] }).catch((error: unknown) => error);
      return Promise.all(renamed); // in the same turn: one statement, were the address changed by it
    });
    await release();
    const corrected = await waited;
    await unlimited.close();

    expect(written.map(({ id, name }) => [id, name])).toEqual(others.map(({ id }) => [id, 'New']));
    expect(corrected).toMatchObject({ id: wanting[last]?.id, email: emails[last] });
  });

  it('leave connections to others, however many want the row that somebody holds', async () => {
    const [held, ...others] = (await users(10)) as [GivenUser, ...GivenUser[]];
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [held.id]);

    const first = await overtake(
      (round) => Array.from({ length: 40 }, (_, n) => patch(held, `Waits ${String(round)} ${String(n)}`).retry(0)),
      (round) =>
        others.flatMap((user) => [
          patch(user, `Does not wait ${String(round)}`).retry(0),
          app.as(user).get('/v1/users/me').retry(0),
        ]),
    );
    await release();

    expect(first).toEqual({ waited: Array(40).fill(503), others: Array(18).fill(200) });
  });

  it('do not fail for a deactivation that waits for another one', async () => {
    const callers = await users(12);
    const admin = await app.given.user({ isAdmin: true });
    const release = await app.hold('SELECT pg_advisory_xact_lock(7573004)'); // of administrators who change their status

    const first = await overtake(
      () => [app.as(admin).patch(`/v1/users/${admin.id}`).send({ status: 'INACTIVE' }).retry(0)],
      (round) => callers.map((user) => patch(user, `Renamed ${String(round)}`).retry(0)),
    );
    await release();

    expect(first).toEqual({ waited: [503], others: Array(12).fill(200) });
  });

  it('go on when a migration has changed what the statements return', async () => {
    const callers = await users(12);
    await Promise.all(callers.map((user) => patch(user, 'Before'))); // prepares them on several connections
    await app.given.sql('ALTER TABLE users ALTER rate_limit_per_minute TYPE bigint');

    const answers = await Promise.all(
      callers.flatMap((user) => [patch(user, 'After'), app.as(user).get('/v1/users/me')]),
    );
    await app.given.sql('ALTER TABLE users ALTER rate_limit_per_minute TYPE integer');

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  });

  it('do not fail for the one whose row cannot be written', async () => {
    const [bad, ...others] = (await users(10)) as [GivenUser, ...GivenUser[]];
    await app.given.sql(`ALTER TABLE users ADD CONSTRAINT ck_users_other CHECK (name <> 'Refused')`);

    const answers = await Promise.all([patch(bad, 'Refused'), ...others.map((user) => patch(user, 'Fine'))]);
    await app.given.sql('ALTER TABLE users DROP CONSTRAINT ck_users_other');

    expect(answers.map(({ status }) => status)).toEqual([500, ...Array<number>(9).fill(200)]);
  });

  it('take no account of a key that is revoked in between: its next request is 401', async () => {
    const callers = await users(10);
    const [leaver] = callers as [GivenUser];
    await app.as(leaver).delete('/v1/api-keys/current');

    const answers = await Promise.all(callers.map((user) => app.as(user).get('/v1/users/me')));

    expect(answers.map(({ status }) => status)).toEqual([401, ...Array<number>(9).fill(200)]);
  });
});

describe('Changes of the keys of one user', () => {
  const KEYS = '/v1/api-keys';
  const expires_at = '2100-01-01T00:00:00.000Z';
  /** Sends the n-th of forty changes. */
  type Change = (owner: GivenUser, n: number) => Test;
  const rotate: Change = (owner) => app.as(owner).post(`${KEYS}/first-key/rotate`).send({ expires_at });
  const move: Change = (owner) => app.as(owner).patch(`${KEYS}/first-key`).send({ expires_at });
  const create: Change = (owner, n) =>
    app
      .as(owner)
      .post(KEYS)
      .send({ name: `key-${String(n)}`, expires_at });
  const revoke: Change = (owner) => app.as(owner).delete(`${KEYS}/first-key`);
  const revokeCurrent: Change = (owner) => app.as(owner).delete(`${KEYS}/current`);
  const all = [rotate, move, create, revoke, revokeCurrent];

  it.each<[string, string, Change]>([
    ['rotations', 'SELECT FROM api_keys WHERE user_id = $1 FOR UPDATE', rotate],
    ['creations', 'SELECT FROM users WHERE id = $1 FOR UPDATE', create],
    [
      'changes of all kinds',
      'SELECT FROM users u JOIN api_keys k ON k.user_id = u.id WHERE u.id = $1 FOR UPDATE',
      (owner, n) => (all[n % all.length] ?? rotate)(owner, n),
    ],
  ])('occupy one connection and leave the others to reads while a row is locked: 40 %s', async (_, lock, change) => {
    const [owner, other] = (await users(2)) as [GivenUser, GivenUser];
    const release = await app.hold(lock, [owner.id]);
    const observer = new Client({ connectionString: (app.nest.get(DataSource).options as { url: string }).url });
    await observer.connect();

    let answered = 0;
    const changes = Array.from({ length: 40 }, async (__, n) => {
      const { status } = await change(owner, n).retry(0);
      answered += 1;
      return status;
    });
    const reads: number[] = [];
    const reading = (async () => {
      while (answered === 0) reads.push((await app.as(other).get('/v1/users/me')).status);
    })();
    const occupied: number[] = [];
    while (answered === 0) {
      const { rowCount } = await observer.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      occupied.push(rowCount ?? NaN);
    }
    const statuses = await Promise.all(changes);
    await reading;
    await observer.end();
    await release();

    expect(Math.max(...occupied)).toBeLessThanOrEqual(1);
    expect(new Set(reads)).toEqual(new Set([200]));
    expect(new Set(statuses)).toEqual(new Set([503]));
    expect((await change(owner, 0)).status).toBeLessThan(300);
  });
});

describe('The statements of the request path', () => {
  it('find every row by an index, however large the tables', async () => {
    const database = app.nest.get(DataSource);
    const ada = await app.given.user();
    const admin = await app.given.user({ isAdmin: true });
    const plans = await explain(database, async () => {
      await app.as(ada).get('/v1/users/me');
      await patch(ada, 'Explained');
      await app.as(admin).patch(`/v1/users/${ada.id}`).send({ status: 'ACTIVE' });
    });

    expect(plans).toHaveLength(4); // whose key it is, for all; the user; the change, with others and alone
    for (const { nodes } of plans) expect(nodes.filter((node) => node === 'Seq Scan')).toEqual([]);
    // After five runs that are planned for their values, whatever follows. Planning costs more than
    // these statements do.
    expect(plans.map(({ planned }) => planned)).toEqual([5, 5, 5, 5]);
  });

  it('find the entries of movements by their ids, however many a user has', async () => {
    const plans = await explain(app.nest.get(DataSource), async () => {
      const nobody = { userId: randomUUID(), amount: 1, transactionId: 'a' };
      await app.nest
        .get(CreditsService)
        .add(nobody)
        .catch(() => undefined);
    });

    expect(plans).toHaveLength(2); // with others, and alone
    for (const { nodes, indexes, planned } of plans) {
      expect(nodes.filter((node) => node === 'Seq Scan')).toEqual([]);
      expect(indexes).toContain('uq_credit_entries_user_id_transaction_id');
      expect(indexes).not.toContain('ix_credit_entries_newest');
      expect(planned).toBe(5);
    }
  });

  // A pooler in transaction mode may use another session for the next run.
  it.each([
    ['find_secrets and find_users', 'false', ['find_secrets', 'find_users']],
    ['none behind a pooler in transaction mode', 'true', []],
  ])('are prepared under their names: %s', async (_, pooler, names) => {
    const own = await createDatabase();
    const single = await startTestApp(own.directUrl, {
      DATABASE_TRANSACTION_POOLER: pooler,
      DATABASE_POOL_SIZE: '1',
    });
    const ada = await single.given.user();

    await single.as(ada).get('/v1/users/me').expect(200);

    expect(await single.rows('SELECT name FROM pg_prepared_statements ORDER BY name')).toEqual(
      names.map((name) => ({ name })),
    );
    await single.close();
    await own.drop();
  });

  it('let go of their rows: minor collections take them', async () => {
    const database = app.nest.get(DataSource);
    const thousand = new Statement('thousand', sql`SELECT n, repeat('x', 100) AS x FROM generate_series(1, 1000) AS n`);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
    const oldMegabytes = (): number =>
      (getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? NaN) / 2 ** 20;

    const readRows = async (times: number): Promise<void> => {
      for (let time = 0; time < times; time += 1) {
        await patiently(() => thousand.run(database, []));
        collect({ type: 'minor' });
      }
    };

    await readRows(50); // what compiled code needs is in the old generation then
    const before = oldMegabytes();
    await readRows(100);

    expect(oldMegabytes() - before).toBeLessThan(5); // a hundred times a thousand rows are 20 to 30
  });
});
