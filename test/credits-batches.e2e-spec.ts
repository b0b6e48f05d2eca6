import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import type { Actor } from '../src/audit-trail/actor.js';
import { BalanceLimitError, InsufficientCreditsError, TransactionIdTakenError } from '../src/credits/credits.errors.js';
import { CreditsService, type Receipt } from '../src/credits/credits.service.js';
import { DatabaseBusyError } from '../src/database/bounded-pool.js';
import { type UsersApiEvent, UsersApiEvents } from '../src/events/users-api-events.js';
import { UserNotFoundError } from '../src/users/users.errors.js';
import { UsersService } from '../src/users/users.service.js';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';
import { patient, patiently } from './support/patience.js';
import { startProxy } from './support/proxy.js';

const MAX = Number.MAX_SAFE_INTEGER;

/** A movement of the user; negative spends. */
type Given = readonly [user: GivenUser, credits: number, transactionId?: string];

/** Calls the service for each movement in one turn of the event loop. */
const sendOnce = (service: CreditsService, movements: readonly Given[], by?: Actor): Promise<Receipt>[] =>
  movements.map(([{ id: userId }, credits, transactionId = randomUUID()]) => {
    const request = { userId, amount: Math.abs(credits), transactionId };
    return credits > 0 ? service.add(request, { by }) : service.spend(request, { by });
  });

/** The same, and repeats what a busy machine has no time for. */
const send = (to: TestApp, movements: readonly Given[], by?: Actor): Promise<Receipt>[] =>
  sendOnce(patient(to.nest.get(CreditsService)), movements, by);

/** What each movement has left, or why it was refused. */
const outcomes = async (sent: readonly Promise<Receipt>[]): Promise<unknown[]> =>
  (await Promise.allSettled(sent)).map((settled) =>
    settled.status === 'fulfilled' ? settled.value.entry.balanceAfter : (settled.reason as unknown),
  );

/** The movements in the order that callers see, and the sum of their credits up to each. */
const LEDGER = `SELECT transaction_id AS transaction, balance_after::int AS balance, created_at AS at, credits::int AS credits,
    sum(credits) OVER (ORDER BY created_at, id)::int AS sum
  FROM credit_entries WHERE user_id = $1 ORDER BY created_at, id`;

interface Entry {
  readonly transaction: string;
  readonly balance: number;
  readonly at: Date;
  readonly credits: number;
  readonly sum: number;
}

describe('Movements that arrive together', () => {
  const app = useTestApp();
  const reconcile = () => app.nest.get(CreditsService).reconcile();
  const ledger = async (user: GivenUser) => (await app.rows(LEDGER, [user.id])) as Entry[];

  it('share one statement: several of one user, and of several users', async () => {
    const [ada, bob, eve] = [await app.given.user(), await app.given.user(), await app.given.user()];
    let left: unknown[] = [];

    const statements = await app.statementsDuring(async () => {
      left = await outcomes(
        send(app, [
          [ada, 5],
          [bob, 1],
          [ada, -2],
          [eve, 7],
          [ada, -3],
          [bob, 1],
          [eve, -7],
        ]),
      );
    });

    expect(left).toEqual([5, 1, 3, 7, 0, 2, 0]);
    expect(statements).toBe(1);
    expect(await reconcile()).toEqual([]);
  });

  it('raise updated_at once for each user, and are listed in the order in which they were made', async () => {
    const ada = await app.given.user();
    const ids = Array.from({ length: 40 }, (_, n) => `t-${String(n)}`);

    await Promise.all(
      send(
        app,
        ids.map((id, n) => [ada, n % 3 === 2 ? -1 : 2, id]),
      ),
    );

    const entries = await ledger(ada);
    const stored = await app.stored(ada);
    expect(entries.map(({ transaction }) => transaction)).toEqual(ids);
    expect(entries.map(({ balance }) => balance)).toEqual(entries.map(({ sum }) => sum));
    expect(new Set(entries.map(({ at }) => at.getTime()))).toEqual(new Set([stored.updatedAt.getTime()]));
    expect(stored).toMatchObject({ version: '41', creditsBalance: entries.at(-1)?.sum });
    const history = await app.as(ada).get('/v1/billing/credit-history?items_per_page=100');
    const listed = (history.body as { data: { transaction_id: string; id: string }[] }).data;
    expect(listed.map(({ transaction_id }) => transaction_id)).toEqual(ids.toReversed());
    for (const { id } of listed) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    // RFC 9562, section 5.7: the first 48 bits are the milliseconds.
    expect(new Set(listed.map(({ id }) => parseInt(id.replace('-', '').slice(0, 12), 16)))).toEqual(
      new Set([stored.updatedAt.getTime()]),
    );
  });

  it('are read by a cursor between two of one instant, each once', async () => {
    const ada = await app.given.user();
    const ids = Array.from({ length: 9 }, (_, n) => `t-${String(n)}`);
    await Promise.all(
      send(
        app,
        ids.map((id) => [ada, 1, id]),
      ),
    );

    const seen: string[] = [];
    let next: string | undefined = '/v1/billing/credit-history?items_per_page=2';
    while (next !== undefined) {
      const { body, headers }: { body: unknown; headers: Record<string, string> } = await app.as(ada).get(next);
      seen.push(...(body as { data: { transaction_id: string }[] }).data.map(({ transaction_id: id }) => id));
      next = /<([^>]+)>; rel="next"/.exec(headers.link ?? '')?.[1];
    }

    expect(seen).toEqual(ids.toReversed());
  });

  it('take what the balance holds at their turn: later ones that fit are made', async () => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];
    const refused = expect.any(InsufficientCreditsError) as unknown;
    const above = expect.any(BalanceLimitError) as unknown;

    const left = await outcomes(
      send(app, [
        [ada, -1],
        [ada, 5],
        [ada, -6],
        [bob, MAX],
        [bob, 1],
        [ada, -5],
        [bob, -1],
        [bob, 1],
        [ada, -1],
      ]),
    );

    expect(left).toEqual([refused, 5, refused, MAX, above, 0, MAX - 1, MAX, refused]);
    expect(await app.stored(ada)).toMatchObject({ creditsBalance: 0, version: '3' });
    expect(await reconcile()).toEqual([]);
  });

  it('are refused in one statement, however many a user without credits sends', async () => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];
    await Promise.all(send(app, [[bob, 1]]));
    let left: unknown[] = [];

    const statements = await app.statementsDuring(async () => {
      left = await outcomes(send(app, [...Array<Given>(30).fill([ada, -1]), [bob, -1]]));
    });

    expect(left).toEqual([...Array<unknown>(30).fill(expect.any(InsufficientCreditsError)), 0]);
    expect(statements).toBe(1);
    expect(await app.stored(ada)).toEqual(ada.row);
  });

  it('of one transaction move once; another one of its id is refused, or made where the first was refused', async () => {
    const ada = await app.given.user();
    const refused = expect.any(InsufficientCreditsError) as unknown;

    let first: PromiseSettledResult<Receipt>[] = [];
    const statements = await app.statementsDuring(async () => {
      first = await Promise.allSettled(
        send(app, [
          [ada, 5, 'a'],
          [ada, 5, 'a'],
          [ada, 6, 'a'],
          [ada, -9, 'b'],
          [ada, -9, 'b'],
          [ada, -4, 'b'],
          [ada, 5, 'a'],
        ]),
      );
    });
    const again = await outcomes(
      send(app, [
        [ada, 5, 'a'],
        [ada, -4, 'b'],
        [ada, 1, 'c'],
        [ada, 6, 'a'],
      ]),
    );

    expect(statements).toBe(3); // another one of an id is in a later statement
    expect(first.map((one) => (one.status === 'fulfilled' ? one.value.replayed : (one.reason as unknown)))).toEqual([
      false,
      true,
      expect.any(TransactionIdTakenError),
      refused,
      refused,
      false,
      true,
    ]);
    expect(again).toEqual([5, 1, 2, expect.any(TransactionIdTakenError)]);
    expect((await ledger(ada)).map(({ transaction, credits }) => [transaction, credits])).toEqual([
      ['a', 5],
      ['b', -4],
      ['c', 1],
    ]);
  });

  it('are each recorded with their own actor, and published in their order', async () => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];
    const seen: UsersApiEvent[] = [];
    const subscription = app.nest.get(UsersApiEvents).changes.subscribe((event) => seen.push(event));
    const actor = (requestId: string): Actor => ({ type: 'API_KEY', userId: bob.id, keyId: null, requestId });

    await Promise.all([
      ...send(app, [[ada, 3, 'a']], actor('first')),
      ...send(app, [[ada, -1, 'b']], actor('second')),
      ...send(app, [[ada, 3, 'a']], actor('repeated')),
    ]);
    subscription.unsubscribe();

    const rows = await app.rows(
      'SELECT transaction_id, actor_user_id, request_id FROM credit_entries WHERE user_id = $1 ORDER BY created_at, id',
      [ada.id],
    );
    expect(rows).toEqual([
      { transaction_id: 'a', actor_user_id: bob.id, request_id: 'first' },
      { transaction_id: 'b', actor_user_id: bob.id, request_id: 'second' },
    ]);
    expect(seen).toMatchObject([
      { type: 'credits.moved', userId: ada.id, transactionId: 'a', balanceAfter: 3, by: { requestId: 'first' } },
      { type: 'credits.moved', userId: ada.id, transactionId: 'b', balanceAfter: 2, by: { requestId: 'second' } },
    ]);
  });

  it('404 for a user who does not exist, and the others are made', async () => {
    const ada = await app.given.user();

    const left = await outcomes(
      send(app, [
        [ada, 5],
        [{ ...ada, id: randomUUID() }, 5],
        [ada, 5],
      ]),
    );

    expect(left).toEqual([5, expect.any(UserNotFoundError), 10]);
  });

  it('do not fail for one that the database refuses to store, of the same user or of another', async () => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];
    await app.given.sql(`ALTER TABLE credit_entries ADD CONSTRAINT ck_other CHECK (transaction_id <> 'refused')`);

    const left = await outcomes(
      send(app, [
        [ada, 5],
        [ada, 4, 'refused'],
        [bob, 1],
        [ada, 3],
        [bob, 1],
      ]),
    );
    await app.given.sql('ALTER TABLE credit_entries DROP CONSTRAINT ck_other');

    expect(left).toEqual([5, expect.objectContaining({ driverError: expect.anything() }), 1, 8, 2]);
    expect(await reconcile()).toEqual([]);
  });

  it('are refused at once beyond 500 of one user, and those of others are not', async () => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];

    const [left, others] = await Promise.all([
      outcomes(
        sendOnce(
          app.nest.get(CreditsService),
          Array.from({ length: 520 }, () => [ada, 1]),
        ),
      ),
      outcomes(send(app, [[bob, 1]])),
    ]);

    const refused = left.filter((one) => typeof one !== 'number');
    expect(left.slice(500)).toEqual(Array(20).fill(expect.any(DatabaseBusyError)));
    expect(others).toEqual([1]);
    expect(await app.stored(ada)).toMatchObject({ creditsBalance: 520 - refused.length });
  });

  it('of an account that is locked wait in one statement on one connection, and those of others do not wait', async () => {
    const [held, ...others] = [await app.given.user(), await app.given.user(), await app.given.user()];
    const { url } = app.nest.get(DataSource).options as { url: string };
    // The application leaves time limits to the database here, which has none.
    const unlimited = await startTestApp(url, { DATABASE_TRANSACTION_POOLER: 'true' });
    const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [held.id]);
    const ids = Array.from({ length: 20 }, (_, n) => `t-${String(n)}`);

    let waiting: Promise<unknown[]> | undefined;
    const left = await patiently(async () => {
      waiting ??= outcomes(
        send(
          unlimited,
          ids.map((id) => [held, 1, id]),
        ),
      );
      return Promise.all(
        send(
          unlimited,
          others.flatMap((user): Given[] => [
            [user, 1, 'a'],
            [user, 1, 'b'],
          ]),
        ),
      );
    });
    const [blocked] = (await app.rows(
      `SELECT count(*)::int AS sessions FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )) as { sessions: number }[];
    await release();
    await waiting;
    await unlimited.close();

    expect(left.map(({ entry }) => entry.balanceAfter)).toEqual([1, 2, 1, 2]);
    expect(blocked?.sessions).toBeLessThanOrEqual(1);
    expect(await app.stored(held)).toMatchObject({ creditsBalance: 20 });
    expect(await reconcile()).toEqual([]);
  });

  describe('while another instance has the account', () => {
    /**
     * Sends movements that wait for a transaction, which spends `spent` under the id `job`, and
     * then commits it.
     */
    const sendBehind = async (
      user: GivenUser,
      spent: number,
      movements: readonly Given[],
    ): Promise<PromiseSettledResult<Receipt>[]> => {
      const { url } = app.nest.get(DataSource).options as { url: string };
      const unlimited = await startTestApp(url, { DATABASE_TRANSACTION_POOLER: 'true' });
      const other = new Client({ connectionString: url });
      await other.connect();
      await other.query('BEGIN');
      await other.query(
        `WITH moved AS (UPDATE users SET credits_balance = credits_balance - $2::bigint, version = version + 1,
                               updated_at = greatest(clock_timestamp(), updated_at + interval '1 ms')
                         WHERE id = $1 RETURNING *)
         INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
         SELECT updated_at, id, -$2::bigint, credits_balance, 'job', 'MANUAL_ADJUSTMENT', 'APPLICATION' FROM moved`,
        [user.id, spent],
      );
      const sent = Promise.allSettled(send(unlimited, movements));
      const waits = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      while ((await app.rows(waits)).length === 0);
      await other.query('COMMIT');
      await other.end();
      const settled = await sent;
      await unlimited.close();
      return settled;
    };

    it('a repeat finds the entry that was committed meanwhile, and the others are made', async () => {
      const ada = await app.given.user();
      await Promise.all(send(app, [[ada, 10]]));

      const settled = await sendBehind(ada, 4, [
        [ada, -1, 'before'],
        [ada, -4, 'job'],
        [ada, -5, 'after'],
      ]);

      const receipts = settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason) as Receipt);
      expect(receipts.map(({ replayed }) => replayed)).toEqual([false, true, false]);
      expect(receipts.map(({ entry }) => entry.balanceAfter)).toEqual([5, 6, 0]);
      expect(await reconcile()).toEqual([]);
    });

    it('a repeat that waits alone finds it too', async () => {
      const ada = await app.given.user();
      await Promise.all(send(app, [[ada, 10]]));

      const settled = await sendBehind(ada, 4, [[ada, -4, 'job']]);

      expect(settled).toMatchObject([{ value: { replayed: true, entry: { balanceAfter: 6 } } }]);
    });

    it('a repeat is not refused for the credits that it took itself', async () => {
      const ada = await app.given.user();
      await Promise.all(send(app, [[ada, 10]]));

      const settled = await sendBehind(ada, 10, [
        [ada, -10, 'job'],
        [ada, -1, 'more'],
        [ada, 3, 'gift'],
      ]);

      expect(settled).toMatchObject([
        { value: { replayed: true, entry: { balanceAfter: 0 } } },
        { reason: expect.any(InsufficientCreditsError) },
        { value: { replayed: false, entry: { balanceAfter: 3 } } },
      ]);
      expect(await reconcile()).toEqual([]);
    });
  });

  it('at two instances are each made once, never below 0, and none fails for a deadlock', async () => {
    const database: TestDatabase = await createDatabase();
    const apps = [await startTestApp(database.url), await startTestApp(database.url)] as const;
    const [first] = apps;
    const ada = await first.given.user();
    const users = [ada, await first.given.user(), await first.given.user()];
    await Promise.all(
      send(
        first,
        users.map((user) => [user, 100, 'start']),
      ),
    );
    const spend = (round: number): Given[] =>
      Array.from({ length: 60 }, (_, n) => [users[(n + round) % 3] ?? ada, -1, `${String(round)} ${String(n)}`]);

    const results: PromiseSettledResult<Receipt>[][] = [];
    for (let round = 0; round < 6; round += 1) {
      const twice = apps.map((one) => send(one, spend(round))); // the same movements at both
      const renames = users.map(({ id }) =>
        patient(apps[1].nest.get(UsersService)).updateProfile(id, { name: `Round ${String(round)}` }),
      );
      results.push(...(await Promise.all(twice.map((sent) => Promise.allSettled(sent)))));
      await Promise.all(renames);
    }

    const differences = await first.nest.get(CreditsService).reconcile();
    const balances = await Promise.all(users.map(async (user) => (await first.stored(user)).creditsBalance));
    const failures = results
      .flat()
      .flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
      .filter((reason) => !(reason instanceof InsufficientCreditsError));
    const [{ entries } = { entries: NaN }] = (await first.rows(
      'SELECT count(*)::int AS entries FROM credit_entries',
    )) as { entries: number }[];
    await Promise.all(apps.map((one) => one.close()));
    await database.drop();

    expect(failures).toEqual([]);
    expect(balances).toEqual([0, 0, 0]);
    expect(entries).toBe(3 + 300);
    expect(differences).toEqual([]);
  });

  it('503 for each of a statement whose connection is lost, and a repeat makes each once', async () => {
    const database = await createDatabase();
    const proxy = await startProxy(database.url);
    const own = await startTestApp(proxy.url, { DATABASE_POOL_SIZE: '1' });
    const [ada, bob] = [await own.given.user(), await own.given.user()];
    const movements: Given[] = [
      [ada, 5, 'a'],
      [bob, 1, 'a'],
      [ada, -2, 'b'],
      [ada, -2, 'c'],
    ];
    const { master: pool } = own.nest.get(DataSource).driver as unknown as { master: NodeJS.EventEmitter };
    pool.once('acquire', () => {
      proxy.loseAnswers();
    });

    const lost = await outcomes(sendOnce(own.nest.get(CreditsService), movements));
    const again = await patiently(() => Promise.all(send(own, movements)));
    const differences = await own.nest.get(CreditsService).reconcile();
    const [{ entries } = { entries: NaN }] = (await own.rows(
      'SELECT count(*)::int AS entries FROM credit_entries',
    )) as {
      entries: number;
    }[];
    await own.close();
    await proxy.close();
    await database.drop();

    expect(lost).toEqual(Array(4).fill(expect.any(Error)));
    expect(again.map(({ entry }) => entry.balanceAfter)).toEqual([5, 1, 3, 1]);
    expect(entries).toBe(4);
    expect(differences).toEqual([]);
  });
});
