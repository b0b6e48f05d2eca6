/* eslint-disable jest/no-standalone-expect -- the test at the end runs the commands */
import fc from 'fast-check';
import {
  CaptureAboveHoldError,
  HoldEndedError,
  InsufficientCreditsError,
  TransactionIdTakenError,
} from '../src/credits/credits.errors.js';
import { CreditsService } from '../src/credits/credits.service.js';
import type { HoldStatus } from '../src/credits/holds/credit-hold.entity.js';
import { startTestApp, type TestApp } from './support/app.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { isUnavailable, patient } from './support/patience.js';

/** Movements, about; `npm run test:ledger` makes a million. */
const STEPS = Number(process.env.LEDGER_STEPS ?? 3_000);
/** Far more than they take (ms). */
const TIMEOUT_MS = Math.max(120_000, 40 * STEPS);

interface Entry {
  readonly credits: number;
  readonly balanceAfter: number;
}

interface Movement {
  readonly user: number;
  readonly kind: 'move' | 'hold';
  /** Added to the balance, where negative spends; or held. */
  readonly credits: number;
  readonly transaction: number;
}

interface Hold {
  readonly id: string;
  readonly amount: number;
  readonly status: HoldStatus;
}

/** What a movement has made or found, or why it was refused. */
type Outcome =
  (Entry & { readonly replayed: boolean }) | { readonly held: number; readonly replayed: boolean } | Refusal;
type Refusal = typeof REFUSED | typeof TAKEN;
const REFUSED = 'refused';
const TAKEN = 'taken';

/** The end of a hold: a capture of so many credits, or a void. */
interface Settlement {
  readonly user: number;
  readonly transaction: number;
  readonly capture: number | null;
}

/** The entry of a capture, the status of a hold that was voided, or why it was refused. */
type Settled = (Entry & { readonly replayed: boolean }) | HoldStatus | typeof ENDED | typeof ABOVE;
const ENDED = 'ended';
const ABOVE = 'above';

const keyOf = ({ user, transaction }: Pick<Movement, 'user' | 'transaction'>): string =>
  `${String(user)} ${String(transaction)}`;

/**
 * What a ledger must be: balances, for each transaction of a user what it moved and what it left,
 * and holds.
 */
class Model {
  readonly balances = [0, 0];
  readonly transactions = new Map<string, Entry>();
  readonly holds = new Map<string, Hold>();

  held(user: number): number {
    return [...this.holds].reduce(
      (sum, [key, { status, amount }]) =>
        status === 'OPEN' && key.startsWith(`${String(user)} `) ? sum + amount : sum,
      0,
    );
  }

  holdOf(key: string): Hold {
    const hold = this.holds.get(key);
    if (!hold) throw new Error('There is no such hold');
    return hold;
  }

  /** Movements one after the other. */
  move(movement: Movement): Outcome {
    const { user, kind, credits } = movement;
    const before = this.transactions.get(keyOf(movement));
    const hold = this.holds.get(keyOf(movement));
    const balance = this.balances[user] ?? 0;
    if (kind === 'hold') {
      if (hold) return hold.status === 'OPEN' && hold.amount === credits ? { held: credits, replayed: true } : TAKEN;
      if (before) return TAKEN;
      if (balance - this.held(user) < credits) return REFUSED;
      this.holds.set(keyOf(movement), { id: '', amount: credits, status: 'OPEN' });
      return { held: credits, replayed: false };
    }
    if (before) return before.credits === credits ? { ...before, replayed: true } : TAKEN;
    if (hold?.status === 'OPEN') return TAKEN;
    if (balance + credits < this.held(user)) return REFUSED;
    return { ...this.enter(movement, credits), replayed: false };
  }

  private enter(of: Pick<Movement, 'user' | 'transaction'>, credits: number): Entry {
    const balanceAfter = (this.balances[of.user] ?? 0) + credits;
    this.transactions.set(keyOf(of), { credits, balanceAfter });
    this.balances[of.user] = balanceAfter;
    return { credits, balanceAfter };
  }

  /** Ends a hold that there is. */
  settle({ capture, ...of }: Settlement): Settled {
    const hold = this.holdOf(keyOf(of));
    const entry = this.transactions.get(keyOf(of));
    if (capture === null) {
      if (hold.status === 'CAPTURED') return ENDED;
      if (hold.status === 'OPEN') this.holds.set(keyOf(of), { ...hold, status: 'VOIDED' });
      return hold.status === 'OPEN' ? 'VOIDED' : hold.status;
    }
    if (hold.status === 'CAPTURED' && entry?.credits === -capture) return { ...entry, replayed: true };
    if (hold.status !== 'OPEN') return ENDED;
    if (capture > hold.amount) return ABOVE;
    this.holds.set(keyOf(of), { ...hold, status: 'CAPTURED' });
    return { ...this.enter(of, -capture), replayed: false };
  }

  /**
   * Movements of one moment: as one after the other, but that equal ones share a refusal, until
   * another one of their id separates them.
   */
  moveTogether(movements: readonly Movement[]): Outcome[] {
    const groups = this.balances.map(
      () => new Map<number, { readonly movement: Movement; readonly outcome: Outcome }>(),
    );
    return movements.map((movement) => {
      const group = groups[movement.user];
      const earlier = group?.get(movement.transaction);
      const isEqual = earlier?.movement.kind === movement.kind && earlier.movement.credits === movement.credits;
      if (earlier && isEqual && earlier.outcome === REFUSED) return REFUSED;
      if (earlier && !isEqual) group?.clear();
      const outcome = this.move(movement);
      group?.set(movement.transaction, { movement, outcome });
      return outcome;
    });
  }

  /** Takes the entries as they are, after movements whose responses were lost. */
  async read({ app, userIds }: Real): Promise<void> {
    const rows = (await app.rows(
      `SELECT user_id AS owner, substr(transaction_id, 3)::int AS transaction, credits::int, balance_after::int AS balance
         FROM credit_entries WHERE user_id = ANY ($1) ORDER BY created_at, id`,
      [userIds],
    )) as { owner: string; transaction: number; credits: number; balance: number }[];
    for (const { owner, transaction, credits, balance: balanceAfter } of rows) {
      const user = userIds.indexOf(owner);
      this.transactions.set(keyOf({ user, transaction }), { credits, balanceAfter });
      this.balances[user] = balanceAfter;
    }
    await this.readHolds({ app, userIds });
  }

  /** Takes the holds as they are, and their ids. */
  async readHolds({ app, userIds }: Pick<Real, 'app' | 'userIds'>): Promise<void> {
    const rows = (await app.rows(
      `SELECT id, user_id AS owner, substr(transaction_id, 3)::int AS transaction, amount::int,
              CASE WHEN status = 'OPEN' AND expires_at <= clock_timestamp() THEN 'EXPIRED' ELSE status END AS status
         FROM credit_holds WHERE user_id = ANY ($1)`,
      [userIds],
    )) as ({ owner: string; transaction: number } & Hold)[];
    for (const { owner, transaction, ...hold } of rows)
      this.holds.set(keyOf({ user: userIds.indexOf(owner), transaction }), hold);
  }
}

type Command = fc.AsyncCommand<Model, Real>;

/** The real application, which a command may bring down. */
interface Real {
  app: TestApp;
  readonly userIds: readonly string[];
  readonly database: TestDatabase;
}

/** Calls are repeated that a busy machine has no time for, which a ledger must allow. */
const creditsOf = (app: TestApp): CreditsService => patient(app.nest.get(CreditsService, { strict: false }));

/** Calls the service for each movement in one turn of the event loop. */
const sendTogether = ({ app, userIds }: Real, movements: readonly Movement[]): Promise<Outcome>[] => {
  const service = app.nest.get(CreditsService, { strict: false });
  return movements.map(async ({ user, kind, credits, transaction }) => {
    const request = {
      userId: userIds[user] ?? '',
      amount: Math.abs(credits),
      transactionId: `t-${String(transaction)}`,
    };
    try {
      if (kind === 'hold') {
        const { hold, replayed } = await service.hold(request);
        return { held: hold.amount, replayed };
      }
      const { entry, replayed } = await (credits > 0 ? service.add(request) : service.spend(request));
      return { credits: entry.credits, balanceAfter: entry.balanceAfter, replayed };
    } catch (error) {
      if (error instanceof InsufficientCreditsError) return REFUSED;
      if (error instanceof TransactionIdTakenError) return TAKEN;
      throw error;
    }
  });
};

/** Waits for what the application no longer waits for, since it may be committed still. */
async function committed({ database }: Real): Promise<void> {
  const running = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`;
  while ((await administer(running, database.url)).length > 0);
}

/** What was made is stored, and what is unknown has been made or not: the model has it then. */
async function readAfterLoss(
  model: Model,
  real: Real,
  movements: readonly Movement[],
  settled: readonly PromiseSettledResult<Outcome>[],
): Promise<void> {
  const before = new Map(model.transactions);
  const heldBefore = new Map(model.holds);
  await committed(real);
  await model.read(real);
  for (const [n, movement] of movements.entries()) {
    const stored = model.transactions.get(keyOf(movement));
    const outcome = settled[n];
    if (outcome?.status === 'rejected') expect(isUnavailable(outcome.reason)).toBe(true);
    else if (typeof outcome?.value === 'object' && 'held' in outcome.value)
      expect(model.holds.get(keyOf(movement))).toMatchObject({ amount: outcome.value.held, status: 'OPEN' });
    else if (typeof outcome?.value === 'object') expect(outcome.value).toMatchObject(stored ?? { lost: movement });
  }
  const sent = new Set(
    movements.map(({ kind, ...movement }) => `${kind} ${keyOf(movement)} ${String(movement.credits)}`),
  );
  for (const [key, { credits }] of model.transactions)
    if (!before.has(key)) expect(sent).toContain(`move ${key} ${String(credits)}`);
  for (const [key, { amount }] of model.holds)
    if (!heldBefore.has(key)) expect(sent).toContain(`hold ${key} ${String(amount)}`);
  expect(model.transactions).toEqual(new Map([...model.transactions, ...before]));
}

/**
 * Movements of one moment: of both users, repeats, and others of an id that is taken. Where every
 * connection is cut meanwhile, or a busy machine has no time for one, sending them again gives each
 * its outcome.
 */
class MoveTogether implements fc.AsyncCommand<Model, Real> {
  constructor(
    private readonly movements: readonly Movement[],
    private readonly cut: boolean,
  ) {}

  check = (): boolean => true;

  async run(model: Model, real: Real): Promise<void> {
    let sending = Promise.allSettled(sendTogether(real, this.movements));
    if (this.cut) {
      await cutConnections(real);
      await readAfterLoss(model, real, this.movements, await sending);
      sending = Promise.allSettled(sendTogether(real, this.movements));
    }
    let settled = await sending;
    while (settled.some(({ status }) => status === 'rejected')) {
      await readAfterLoss(model, real, this.movements, settled);
      settled = await Promise.allSettled(sendTogether(real, this.movements));
    }

    steps += this.movements.length;
    expect(settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason) as Outcome)).toEqual(
      model.moveTogether(this.movements),
    );
    await model.readHolds(real); // the ids of the new ones
  }

  toString = (): string => {
    const each = this.movements.map((one) => `${one.kind} ${keyOf(one)} ${String(one.credits)}`);
    return `moveTogether(${each.join(', ')}${this.cut ? '; cut' : ''})`;
  };
}

/**
 * Captures and voids of one moment, several of one hold too. Some of the holds expire before, as if
 * the clock had been set forward.
 */
class SettleTogether implements fc.AsyncCommand<Model, Real> {
  constructor(
    private readonly settlements: readonly Settlement[],
    private readonly expired: readonly number[],
  ) {}

  check = (model: Model): boolean => model.holds.size > 0;

  async run(model: Model, real: Real): Promise<void> {
    const { app } = real;
    const keys = [...model.holds.keys()];
    const at = (n: number): string => keys[n % keys.length] ?? '';
    const expiring = new Set(this.expired.map(at).filter((key) => model.holds.get(key)?.status === 'OPEN'));
    for (const key of expiring) {
      const hold = model.holdOf(key);
      await app.rows(
        `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day' WHERE id = $1`,
        [hold.id],
      );
      model.holds.set(key, { ...hold, status: 'EXPIRED' });
    }
    const settlements = this.settlements.map(({ capture, transaction }) => {
      const [user = 0, of = 0] = at(transaction).split(' ').map(Number);
      return { user, transaction: of, capture };
    });
    const service = app.nest.get(CreditsService, { strict: false });
    const send = (): Promise<PromiseSettledResult<Settled>[]> =>
      Promise.allSettled(
        settlements.map(async ({ capture, ...of }): Promise<Settled> => {
          const { id } = model.holdOf(keyOf(of));
          try {
            if (capture === null) return (await service.release(id)).status;
            const { entry, replayed } = await service.capture(id, capture);
            return { credits: entry.credits, balanceAfter: entry.balanceAfter, replayed };
          } catch (error) {
            if (error instanceof HoldEndedError) return ENDED;
            if (error instanceof CaptureAboveHoldError) return ABOVE;
            throw error;
          }
        }),
      );

    let settled = await send();
    while (settled.some(({ status }) => status === 'rejected')) {
      await committed(real);
      await model.read(real);
      for (const [n, outcome] of settled.entries()) {
        const key = keyOf(settlements[n] ?? { user: NaN, transaction: NaN });
        if (outcome.status === 'rejected') expect(isUnavailable(outcome.reason)).toBe(true);
        else if (typeof outcome.value === 'object')
          expect(outcome.value).toMatchObject(model.transactions.get(key) ?? { lost: key });
        else if (outcome.value === 'VOIDED') expect(model.holdOf(key).status).toBe('VOIDED');
      }
      settled = await send();
    }

    steps += settlements.length + expiring.size;
    expect(settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason) as Settled)).toEqual(
      settlements.map((settlement) => model.settle(settlement)),
    );
  }

  toString = (): string =>
    `settleTogether(${this.settlements.map(({ transaction, capture }) => `${String(transaction)} ${String(capture)}`).join(', ')}; expired ${this.expired.join(', ')})`;
}

/**
 * Every connection is cut in the middle of a movement: it has happened or not, and repeating it
 * says which, and makes it so.
 */
class CrashWhileMoving implements fc.AsyncCommand<Model, Real> {
  constructor(
    readonly user: number,
    private readonly amount: number,
    readonly transaction: number,
  ) {}

  check = (model: Model): boolean =>
    !model.transactions.has(keyOf(this)) && model.holds.get(keyOf(this))?.status !== 'OPEN';

  async run(model: Model, real: Real): Promise<void> {
    const request = {
      userId: real.userIds[this.user] ?? '',
      amount: this.amount,
      transactionId: `t-${String(this.transaction)}`,
    };
    const moving = real.app.nest
      .get(CreditsService, { strict: false })
      .add(request)
      .catch(() => undefined);
    await cutConnections(real);
    await moving;
    await restart(real);

    const { entry } = await creditsOf(real.app).add(request);

    const balanceAfter = (model.balances[this.user] ?? 0) + this.amount;
    expect(entry).toMatchObject({ credits: this.amount, balanceAfter });
    model.transactions.set(`${String(this.user)} ${String(this.transaction)}`, { credits: this.amount, balanceAfter });
    model.balances[this.user] = balanceAfter;
  }

  toString = (): string =>
    `crashWhileMoving(${String(this.user)}, ${String(this.amount)}, t-${String(this.transaction)})`;
}

const cutConnections = ({ database }: Real): Promise<unknown> =>
  administer(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    database.url,
  );

async function restart(real: Real): Promise<void> {
  await real.app.nest.close();
  real.app = await startTestApp(real.database.url);
}

/** Movements that were made, repeated or refused. */
let steps = 0;

describe('The ledger', () => {
  it(
    'does what a model of it does, in any order of adding, spending, holding, capturing, voiding, expiring, repeating, crashing and restarting',
    async () => {
      const database = await createDatabase();
      const real: Real = { app: await startTestApp(database.url), userIds: [], database };
      const user = fc.nat(1);
      const transaction = fc.nat(12);
      const amount = fc.integer({ min: 1, max: 5 });
      const movement = fc.record({
        user,
        kind: fc.constant('move' as const),
        credits: fc.oneof(amount, fc.integer({ min: -8, max: -1 })),
        transaction: fc.nat(60),
      });
      const hold = fc.record({ user, kind: fc.constant('hold' as const), credits: amount, transaction: fc.nat(60) });
      const settlement = fc.record({ user, transaction: fc.nat(), capture: fc.option(amount) });
      const together = fc.array(fc.oneof({ weight: 3, arbitrary: movement }, { weight: 1, arbitrary: hold }), {
        minLength: 1,
        maxLength: 40,
        size: 'max',
      });
      const rarely = fc.nat(19).map((n) => n === 0);
      const commands = fc.commands(
        [
          fc.oneof(
            {
              weight: 60,
              arbitrary: fc.tuple(together, rarely).map((given): Command => new MoveTogether(...given)),
            },
            {
              weight: 30,
              arbitrary: fc
                .tuple(fc.array(settlement, { minLength: 1, maxLength: 20 }), fc.array(fc.nat(), { maxLength: 2 }))
                .map((given): Command => new SettleTogether(...given)),
            },
            {
              weight: 38,
              arbitrary: fc
                .tuple(user, movement, transaction)
                .map(
                  ([of, { credits }, id]): Command =>
                    new MoveTogether([{ user: of, kind: 'move', credits, transaction: id }], false),
                ),
            },
            {
              weight: 20,
              // The same movement from several callers at once: one of them moves it.
              arbitrary: fc.tuple(user, amount, transaction).map(
                ([of, credits, id]): Command =>
                  new MoveTogether(
                    Array.from({ length: 5 }, () => ({ user: of, kind: 'move', credits, transaction: id })),
                    false,
                  ),
              ),
            },
            {
              weight: 2,
              arbitrary: fc.tuple(user, amount, transaction).map((given): Command => new CrashWhileMoving(...given)),
            },
          ),
        ],
        { maxCommands: 40, size: 'max' },
      );

      while (steps < STEPS) {
        await fc.assert(
          fc.asyncProperty(commands, async (given) => {
            const users = [await real.app.given.user(), await real.app.given.user()];
            const model = new Model();
            Object.assign(real, { userIds: users.map(({ id }) => id) });

            await fc.asyncModelRun(() => ({ model, real }), given);

            for (const [n, one] of users.entries())
              expect(await creditsOf(real.app).balance(one.id)).toMatchObject({
                creditsBalance: model.balances[n],
                creditsHeld: model.held(n),
              });
            const rows = await real.app.rows('SELECT FROM credit_entries WHERE user_id = ANY ($1)', [real.userIds]);
            expect(rows).toHaveLength(model.transactions.size);
          }),
          { numRuns: 10, endOnFailure: true },
        );
        expect(await creditsOf(real.app).reconcile()).toEqual([]);
      }
      process.stdout.write(`${JSON.stringify({ steps, differences: 0 })}\n`);
      await real.app.nest.close();
      await database.drop();
    },
    TIMEOUT_MS,
  );
});
