import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { DataSource, type EntityManager } from 'typeorm';
import {
  CaptureAboveHoldError,
  HoldEndedError,
  HoldNotFoundError,
  InsufficientCreditsError,
  InvalidAmountError,
  InvalidHoldDurationError,
  TransactionIdTakenError,
} from '../src/credits/credits.errors.js';
import { CreditsService } from '../src/credits/credits.service.js';
import type { CreditHold } from '../src/credits/holds/credit-hold.entity.js';
import { UserNotFoundError } from '../src/users/users.errors.js';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import { createDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';
import { patient } from './support/patience.js';

describe('Holds', () => {
  const app = useTestApp();
  const credits = (of: TestApp = app): CreditsService => patient(of.nest.get(CreditsService));

  const userWith = async (amount: number): Promise<GivenUser> => {
    const user = await app.given.user();
    await credits().add({ userId: user.id, amount, transactionId: 'start' });
    return user;
  };
  const hold = async (user: GivenUser, amount: number, transactionId: string = randomUUID()): Promise<CreditHold> =>
    (await credits().hold({ userId: user.id, amount, transactionId })).hold;
  /** As if the hold had been made a day ago. */
  const expire = (...holds: readonly CreditHold[]): Promise<unknown> =>
    app.given.sql(
      `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'
        WHERE id IN (${holds.map(({ id }) => `'${id}'`).join(', ')})`,
    );
  const held = async (user: GivenUser): Promise<[balance: number, held: number, available: number]> => {
    const { creditsBalance, creditsHeld, creditsAvailable } = await credits().balance(user.id);
    return [creditsBalance, creditsHeld, creditsAvailable];
  };
  /** The stored counter, and what it must be. */
  const counters = async (user: GivenUser): Promise<unknown> =>
    (
      await app.rows(
        `SELECT credits_held::int AS counter,
                (SELECT coalesce(sum(amount), 0)::int FROM credit_holds WHERE user_id = users.id AND status = 'OPEN') AS holds
           FROM users WHERE id = $1`,
        [user.id],
      )
    )[0];
  const entries = async (user: GivenUser): Promise<unknown[]> =>
    (
      (await app.rows(
        'SELECT transaction_id AS id, credits::int FROM credit_entries WHERE user_id = $1 ORDER BY created_at, id',
        [user.id],
      )) as { id: string; credits: number }[]
    ).map(({ id, credits: moved }) => [id, moved]);

  it('take nothing from the balance, and nothing else can spend them', async () => {
    const ada = await userWith(10);
    const before = await app.stored(ada);

    const {
      hold: made,
      replayed,
      creditsAvailable,
    } = await credits().hold({ userId: ada.id, amount: 7, transactionId: 'job' });

    expect(made).toMatchObject({
      userId: ada.id,
      amount: 7,
      status: 'OPEN',
      captured: null,
      settledAt: null,
      transactionId: 'job',
    });
    expect(made.expiresAt.getTime() - made.createdAt.getTime()).toBe(900_000);
    expect([replayed, creditsAvailable]).toEqual([false, 3]);
    expect(await app.stored(ada)).toEqual(before); // the ETag too
    expect(await held(ada)).toEqual([10, 7, 3]);
    await expect(credits().spend({ userId: ada.id, amount: 4, transactionId: 'other' })).rejects.toThrow(
      InsufficientCreditsError,
    );
    await expect(hold(ada, 4)).rejects.toThrow(InsufficientCreditsError);
    expect((await credits().spend({ userId: ada.id, amount: 3, transactionId: 'other' })).creditsAvailable).toBe(0);
    expect(await entries(ada)).toEqual([
      ['start', 10],
      ['other', -3],
    ]);
  });

  it('are captured: an entry of the same transaction, the rest is released, and a repeat returns the same entry', async () => {
    const ada = await userWith(10);
    const { id } = await hold(ada, 7, 'job');

    const { entry, replayed, creditsAvailable } = await credits().capture(id, 5);

    expect(entry).toMatchObject({ userId: ada.id, credits: -5, balanceAfter: 5, transactionId: 'job' });
    expect([replayed, creditsAvailable]).toEqual([false, 5]);
    expect(await credits().capture(id, 5)).toEqual({ entry, replayed: true, creditsAvailable: 5 });
    const ended = await credits().getHold(id);
    expect(ended).toMatchObject({ status: 'CAPTURED', captured: 5, settledAt: expect.any(Date) });
    await expect(credits().capture(id, 4)).rejects.toThrow(HoldEndedError);
    await expect(credits().release(id)).rejects.toThrow(HoldEndedError);
    await expect(hold(ada, 7, 'job')).rejects.toThrow(TransactionIdTakenError);
    expect(await held(ada)).toEqual([5, 0, 5]);
    expect(await counters(ada)).toEqual({ counter: 0, holds: 0 });
  });

  it('are captured up to their amount, and not beyond', async () => {
    const ada = await userWith(10);
    const { id } = await hold(ada, 7);

    await expect(credits().capture(id, 8)).rejects.toThrow(CaptureAboveHoldError);
    await expect(credits().capture(id, 0)).rejects.toThrow(InvalidAmountError);
    expect((await credits().capture(id, 7)).entry.balanceAfter).toBe(3);
    await expect(credits().capture(id, 8)).rejects.toThrow(HoldEndedError);
  });

  it('are voided, as often as is asked for, and their id may then be spent once', async () => {
    const ada = await userWith(10);
    const { id } = await hold(ada, 7, 'job');

    const voided = await credits().release(id);

    expect(voided).toMatchObject({ id, status: 'VOIDED', captured: null, settledAt: expect.any(Date) });
    expect(await credits().release(id)).toEqual(voided);
    await expect(credits().capture(id, 7)).rejects.toThrow(HoldEndedError);
    await expect(hold(ada, 7, 'job')).rejects.toThrow(TransactionIdTakenError);
    expect(await held(ada)).toEqual([10, 0, 10]);
    expect((await credits().spend({ userId: ada.id, amount: 2, transactionId: 'job' })).entry.balanceAfter).toBe(8);
    expect(await credits().release(id)).toEqual(voided);
  });

  it('return the same hold for a repeat while they are open, and refuse another under the same id', async () => {
    const ada = await userWith(10);
    const request = { userId: ada.id, amount: 7, transactionId: 'job', transactionType: 'JOB', expiresInSeconds: 60 };
    const made = await credits().hold(request);

    expect(await credits().hold(request)).toEqual({ ...made, replayed: true });
    for (const other of [
      { amount: 6 },
      { transactionType: 'OTHER' },
      { expiresInSeconds: 61 },
      { apiKeyId: randomUUID() },
    ])
      await expect(credits().hold({ ...request, ...other })).rejects.toThrow(TransactionIdTakenError);
    for (const move of ['add', 'spend'] as const)
      await expect(credits()[move]({ userId: ada.id, amount: 1, transactionId: 'job' })).rejects.toThrow(
        TransactionIdTakenError,
      );
    await expect(hold(ada, 1, 'start')).rejects.toThrow(TransactionIdTakenError);
    expect(await held(ada)).toEqual([10, 7, 3]);
  });

  it('expire at an instant: they read EXPIRED, count nowhere, and refuse nobody, before anything has swept them', async () => {
    const ada = await userWith(10);
    const [first, second] = [await hold(ada, 4, 'first'), await hold(ada, 5, 'second')];
    await expire(first, second);

    expect(await credits().getHold(first.id)).toMatchObject({ status: 'EXPIRED', captured: null });
    const { settledAt, expiresAt } = await credits().getHold(first.id);
    expect(settledAt).toEqual(expiresAt);
    expect(await held(ada)).toEqual([10, 0, 10]);
    const window = { limit: 10, offset: 0, after: null };
    expect((await credits().holds(ada.id, { status: 'OPEN' }, window)).rows).toEqual([]);
    expect((await credits().holds(ada.id, { status: 'EXPIRED' }, window)).total).toBe(2);
    expect(await counters(ada)).toEqual({ counter: 9, holds: 9 });
    await expect(credits().capture(first.id, 1)).rejects.toThrow('The hold is EXPIRED');
    expect(await credits().release(first.id)).toMatchObject({ status: 'EXPIRED', settledAt });
    await expect(hold(ada, 4, 'first')).rejects.toThrow(TransactionIdTakenError);

    // With the id of one of them.
    expect((await credits().spend({ userId: ada.id, amount: 8, transactionId: 'first' })).entry.balanceAfter).toBe(2);
    expect(await counters(ada)).toEqual({ counter: 0, holds: 0 });
    expect((await hold(ada, 2)).status).toBe('OPEN');
  });

  it('are released by whoever needs the credits, many in one turn, and by the sweep', async () => {
    const [ada, bob] = [await userWith(10), await userWith(10)];
    await expire(await hold(ada, 10), await hold(bob, 3));

    const spent = await Promise.allSettled(
      Array.from({ length: 12 }, () =>
        app.nest.get(CreditsService).spend({ userId: ada.id, amount: 1, transactionId: randomUUID() }),
      ),
    );
    expect(spent.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect(await counters(ada)).toEqual({ counter: 0, holds: 0 });

    await credits().releaseExpiredHolds();
    await credits().releaseExpiredHolds();
    expect(await counters(bob)).toEqual({ counter: 0, holds: 0 });
    expect(await credits().reconcile()).toEqual([]);
  });

  it('join the caller’s transaction, which an error leaves usable', async () => {
    const ada = await userWith(10);
    const inTransaction = <T>(work: (manager: EntityManager) => Promise<T>): Promise<T> =>
      app.nest.get(DataSource).transaction(work);
    const own = app.nest.get(CreditsService);

    await expect(
      inTransaction(async (manager) => {
        await own.hold({ userId: ada.id, amount: 5, transactionId: 'undone' }, { manager });
        throw new Error('undone');
      }),
    ).rejects.toThrow('undone');
    expect(await held(ada)).toEqual([10, 0, 10]);

    const left = await inTransaction(async (manager) => {
      const made = await own.hold({ userId: ada.id, amount: 5, transactionId: 'job' }, { manager });
      await expect(own.hold({ userId: ada.id, amount: 6, transactionId: 'more' }, { manager })).rejects.toThrow(
        InsufficientCreditsError,
      );
      await expect(own.capture(made.hold.id, 6, { manager })).rejects.toThrow(CaptureAboveHoldError);
      const { entry } = await own.capture(made.hold.id, 2, { manager });
      const other = await own.hold({ userId: ada.id, amount: 8, transactionId: 'other' }, { manager });
      await own.release(other.hold.id, { manager });
      return [entry.balanceAfter, (await own.balance(ada.id, { manager })).creditsAvailable];
    });
    expect(left).toEqual([8, 8]);
    expect(await counters(ada)).toEqual({ counter: 0, holds: 0 });
  });

  it('refuse what they cannot be, and users and holds that do not exist', async () => {
    const ada = await userWith(10);
    for (const expiresInSeconds of [0, 604_801, 1.5, NaN])
      await expect(credits().hold({ userId: ada.id, amount: 1, transactionId: 'x', expiresInSeconds })).rejects.toThrow(
        InvalidHoldDurationError,
      );
    await expect(credits().hold({ userId: ada.id, amount: 0, transactionId: 'x' })).rejects.toThrow(InvalidAmountError);
    await expect(credits().hold({ userId: randomUUID(), amount: 1, transactionId: 'x' })).rejects.toThrow(
      UserNotFoundError,
    );
    await expect(credits().balance(randomUUID())).rejects.toThrow(UserNotFoundError);
    for (const id of [randomUUID(), 'x']) {
      await expect(credits().getHold(id)).rejects.toThrow(HoldNotFoundError);
      await expect(credits().capture(id, 1)).rejects.toThrow(HoldNotFoundError);
      await expect(credits().release(id)).rejects.toThrow(HoldNotFoundError);
    }
    const { hold: week } = await credits().hold({
      userId: ada.id,
      amount: 1,
      transactionId: 'week',
      expiresInSeconds: 604_800,
    });
    expect(week.expiresAt.getTime() - week.createdAt.getTime()).toBe(604_800_000);
  });

  it('share a statement with other movements of their moment', async () => {
    const [ada, bob] = [await userWith(10), await userWith(10)];
    const { id } = await hold(ada, 3);
    const service = app.nest.get(CreditsService);
    let settled: PromiseSettledResult<unknown>[] = [];
    const statements = await app.statementsDuring(async () => {
      settled = await Promise.allSettled([
        service.hold({ userId: ada.id, amount: 5, transactionId: 'a' }),
        service.hold({ userId: ada.id, amount: 3, transactionId: 'b' }), // 2 are left
        service.spend({ userId: ada.id, amount: 2, transactionId: 'c' }),
        service.hold({ userId: bob.id, amount: 10, transactionId: 'a' }),
        service.capture(id, 3),
      ]);
    });
    expect(settled.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
      'fulfilled',
    ]);
    expect(statements).toBeLessThanOrEqual(3); // the lookup of the hold, and the capture after it
    expect(await held(ada)).toEqual([5, 5, 0]);
    expect(await held(bob)).toEqual([10, 10, 0]);
  });

  it('cannot be deleted, and cannot be changed once they have ended', async () => {
    const ada = await userWith(10);
    const { id } = await hold(ada, 3);
    await credits().release(id);
    for (const statement of [
      `UPDATE credit_holds SET status = 'OPEN', settled_at = NULL WHERE id = '${id}'`,
      `DELETE FROM credit_holds WHERE id = '${id}'`,
      'TRUNCATE credit_holds',
    ])
      await expect(app.rows(statement)).rejects.toThrow('append-only');
    await expect(app.rows(`UPDATE users SET credits_held = 11 WHERE id = '${ada.id}'`)).rejects.toThrow(
      'ck_users_credits_held',
    );
  });

  describe('while another session has the account', () => {
    /** Runs `work` at an instance that waits for a session, which commits `statements` then. */
    const behind = async <T>(
      user: GivenUser,
      statements: readonly string[],
      work: (service: CreditsService) => Promise<T>,
    ) => {
      const { url } = app.nest.get(DataSource).options as { url: string };
      const unlimited = await startTestApp(url, { DATABASE_TRANSACTION_POOLER: 'true' });
      const other = new Client({ connectionString: url });
      await other.connect();
      await other.query('BEGIN');
      await other.query(`SELECT FROM users WHERE id = '${user.id}' FOR NO KEY UPDATE`);
      for (const statement of statements) await other.query(statement);
      const working = Promise.allSettled([work(unlimited.nest.get(CreditsService))]);
      const waits = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      while ((await app.rows(waits)).length === 0);
      await other.query('COMMIT');
      await other.end();
      const [settled] = await working;
      await unlimited.close();
      expect(await credits().reconcile()).toEqual([]);
      const { counter, holds } = (await counters(user)) as { counter: number; holds: number };
      expect(counter).toBe(holds);
      return settled;
    };
    const voiding = (user: GivenUser, { id, amount }: CreditHold): string[] => [
      `UPDATE users SET credits_held = credits_held - ${String(amount)} WHERE id = '${user.id}'`,
      `UPDATE credit_holds SET status = 'VOIDED', settled_at = clock_timestamp() WHERE id = '${id}'`,
    ];
    const holding = (user: GivenUser, amount: number, transactionId: string): string[] => [
      `UPDATE users SET credits_held = credits_held + ${String(amount)} WHERE id = '${user.id}'`,
      `INSERT INTO credit_holds (created_at, user_id, amount, expires_at, transaction_id, transaction_type, actor)
       VALUES (clock_timestamp(), '${user.id}', ${String(amount)}, clock_timestamp() + interval '1 hour', '${transactionId}', 'MANUAL_ADJUSTMENT', 'APPLICATION')`,
    ];
    const spending = (user: GivenUser, amount: number, transactionId: string): string[] => [
      `WITH moved AS (UPDATE users SET credits_balance = credits_balance - ${String(amount)}, version = version + 1,
                             updated_at = greatest(clock_timestamp(), updated_at + interval '1 ms')
                       WHERE id = '${user.id}' RETURNING *)
       INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
       SELECT updated_at, id, -${String(amount)}, credits_balance, '${transactionId}', 'MANUAL_ADJUSTMENT', 'APPLICATION' FROM moved`,
    ];

    it('a capture after a void is refused', async () => {
      const ada = await userWith(10);
      const open = await hold(ada, 7, 'job');
      expect(await behind(ada, voiding(ada, open), (service) => service.capture(open.id, 7))).toMatchObject({
        reason: expect.any(HoldEndedError),
      });
      expect(await entries(ada)).toEqual([['start', 10]]);
    });

    it('a void after a void returns the hold', async () => {
      const ada = await userWith(10);
      const open = await hold(ada, 7, 'job');
      expect(await behind(ada, voiding(ada, open), (service) => service.release(open.id))).toMatchObject({
        value: { status: 'VOIDED' },
      });
      expect(await held(ada)).toEqual([10, 0, 10]);
    });

    it('a movement with the id of a new hold is refused, and another is made', async () => {
      const ada = await userWith(10);
      const settled = await behind(ada, holding(ada, 4, 'job'), (service) =>
        Promise.allSettled([
          service.spend({ userId: ada.id, amount: 4, transactionId: 'job' }),
          service.spend({ userId: ada.id, amount: 6, transactionId: 'other' }),
          service.spend({ userId: ada.id, amount: 1, transactionId: 'more' }),
        ]),
      );
      expect(settled).toMatchObject({
        value: [
          { reason: expect.any(TransactionIdTakenError) },
          { value: { creditsAvailable: 0 } },
          { reason: expect.any(InsufficientCreditsError) },
        ],
      });
    });

    it('a hold with the id of a new hold is refused, or is its repeat', async () => {
      const ada = await userWith(10);
      const request = { userId: ada.id, amount: 4, transactionId: 'job' };
      expect(await behind(ada, holding(ada, 4, 'job'), (service) => service.hold(request))).toMatchObject({
        reason: expect.any(TransactionIdTakenError), // of another duration
      });
    });

    it('a hold with the id of a new entry is refused', async () => {
      const ada = await userWith(10);
      const request = { userId: ada.id, amount: 4, transactionId: 'job' };
      expect(await behind(ada, spending(ada, 4, 'job'), (service) => service.hold(request))).toMatchObject({
        reason: expect.any(TransactionIdTakenError),
      });
      expect(await held(ada)).toEqual([6, 0, 6]);
    });

    it('an expired hold that was voided meanwhile is not released again', async () => {
      const ada = await userWith(10);
      const open = await hold(ada, 7, 'job');
      await expire(open);
      expect(
        await behind(ada, voiding(ada, open), (service) =>
          service.spend({ userId: ada.id, amount: 9, transactionId: 'x' }),
        ),
      ).toMatchObject({ value: { creditsAvailable: 1 } });
      expect(await counters(ada)).toEqual({ counter: 0, holds: 0 });
    });
  });

  it('race at two instances with captures, voids, expiries and spenders: one entry each at most, and the counters are right', async () => {
    const database = await createDatabase();
    const apps = [await startTestApp(database.url), await startTestApp(database.url)] as const;
    const user = await apps[0].given.user();
    const races = Number(process.env.HOLD_RACES ?? 60);
    await credits(apps[0]).add({ userId: user.id, amount: 1_000 + 5 * races, transactionId: 'start' });
    const EXPECTED = [HoldEndedError, TransactionIdTakenError, InsufficientCreditsError];
    const unexpected: unknown[] = [];

    for (let race = 0; race < races; race += 1) {
      const transactionId = `job-${String(race)}`;
      const { hold: open } = await credits(apps[0]).hold({
        userId: user.id,
        amount: 5,
        transactionId,
        expiresInSeconds: 1,
      });
      const service = (n: number): CreditsService => credits(apps[n % 2] ?? apps[0]);
      const isAtDeadline = race % 3 === 0;
      if (isAtDeadline)
        await apps[0].rows(
          `UPDATE credit_holds SET created_at = created_at - interval '1 s' + interval '${String(race % 8)} ms', expires_at = expires_at - interval '1 s' + interval '${String(race % 8)} ms' WHERE id = $1`,
          [open.id],
        );
      const results = await Promise.allSettled([
        service(race).capture(open.id, 1 + (race % 5)),
        service(race + 1).release(open.id),
        service(race).spend({ userId: user.id, amount: 2, transactionId }),
        service(race + 1).capture(open.id, 1 + (race % 5)),
        service(race + 1).spend({ userId: user.id, amount: 2, transactionId }),
        service(race).releaseExpiredHolds(),
        service(race + 1).hold({ userId: user.id, amount: 5, transactionId, expiresInSeconds: 1 }),
      ]);
      unexpected.push(
        ...results
          .flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
          .filter((reason) => !EXPECTED.some((type) => reason instanceof type)),
      );
    }
    await credits(apps[0]).releaseExpiredHolds();
    const [state] = await apps[0].rows(
      `SELECT (SELECT count(*) FROM (SELECT FROM credit_entries GROUP BY transaction_id HAVING count(*) > 1) AS twice)::int AS twice,
              (SELECT count(*) FROM credit_holds WHERE status = 'OPEN')::int AS open,
              (SELECT sum(credits_held) FROM users)::int AS held,
              (SELECT count(*) FROM credit_holds AS h WHERE (status = 'CAPTURED') <> EXISTS (
                 SELECT FROM credit_entries WHERE user_id = h.user_id AND transaction_id = h.transaction_id AND credits = -h.captured))::int AS unlike`,
    );
    const differences = await credits(apps[0]).reconcile();
    await Promise.all(apps.map((one) => one.close()));
    await database.drop();

    expect(unexpected).toEqual([]);
    expect(state).toEqual({ twice: 0, open: 0, held: 0, unlike: 0 });
    expect(differences).toEqual([]);
  });
});
