/* eslint-disable jest/no-standalone-expect -- the test at the end runs the commands */
import fc from 'fast-check';
import { InsufficientCreditsError, TransactionIdTakenError } from '../src/credits/credits.errors.js';
import { CreditsService, type Receipt } from '../src/credits/credits.service.js';
import { startTestApp, type TestApp } from './support/app.js';
import { administer, createDatabase, type TestDatabase } from './support/database.js';
import { patient } from './support/patience.js';

/**
 * What a ledger must be: balances, and for each transaction of a user what it moved and what it
 * left.
 */
class Model {
  readonly balances = [0, 0];
  readonly transactions = new Map<string, { readonly credits: number; readonly balanceAfter: number }>();
}

/** The real application, which a command may bring down. */
interface Real {
  app: TestApp;
  readonly userIds: readonly string[];
  readonly database: TestDatabase;
}

/** Calls are repeated that a busy machine has no time for, which a ledger must allow. */
const creditsOf = (app: TestApp): CreditsService => patient(app.nest.get(CreditsService, { strict: false }));

/** One movement; the small ranges make repeats, conflicts and empty balances frequent. */
class Move implements fc.AsyncCommand<Model, Real> {
  constructor(
    private readonly user: number,
    private readonly credits: number,
    private readonly transaction: number,
  ) {}

  check = (): boolean => true;

  async run(model: Model, { app, userIds }: Real): Promise<void> {
    const key = `${String(this.user)} ${String(this.transaction)}`;
    const before = model.transactions.get(key);
    const balanceAfter = (model.balances[this.user] ?? 0) + this.credits;
    const moving = this.call(creditsOf(app), userIds[this.user] ?? '');

    if (before && before.credits !== this.credits) await expect(moving).rejects.toThrow(TransactionIdTakenError);
    else if (before) expect(await moving).toMatchObject({ replayed: true, entry: before });
    else if (balanceAfter < 0) await expect(moving).rejects.toThrow(InsufficientCreditsError);
    else {
      const expected = { credits: this.credits, balanceAfter };
      expect(await moving).toMatchObject({ replayed: false, entry: expected });
      model.transactions.set(key, expected);
      model.balances[this.user] = balanceAfter;
    }
  }

  private call(service: CreditsService, userId: string): Promise<Receipt> {
    const request = { userId, amount: Math.abs(this.credits), transactionId: `t-${String(this.transaction)}` };
    return this.credits > 0 ? service.add(request) : service.spend(request);
  }

  toString = (): string => `move(${String(this.user)}, ${String(this.credits)}, t-${String(this.transaction)})`;
}

/** The same movement from several callers at once: one of them moves, the others are told of it. */
class MoveAtOnce implements fc.AsyncCommand<Model, Real> {
  constructor(
    private readonly user: number,
    private readonly amount: number,
    private readonly transaction: number,
  ) {}

  check = (model: Model): boolean => !model.transactions.has(`${String(this.user)} ${String(this.transaction)}`);

  async run(model: Model, { app, userIds }: Real): Promise<void> {
    const request = {
      userId: userIds[this.user] ?? '',
      amount: this.amount,
      transactionId: `t-${String(this.transaction)}`,
    };
    const service = creditsOf(app);

    const receipts = await Promise.all(Array.from({ length: 5 }, () => service.add(request)));

    const balanceAfter = (model.balances[this.user] ?? 0) + this.amount;
    expect(receipts.filter(({ replayed }) => !replayed)).toHaveLength(1);
    for (const { entry } of receipts) expect(entry).toMatchObject({ credits: this.amount, balanceAfter });
    model.transactions.set(`${String(this.user)} ${String(this.transaction)}`, { credits: this.amount, balanceAfter });
    model.balances[this.user] = balanceAfter;
  }

  toString = (): string => `moveAtOnce(${String(this.user)}, ${String(this.amount)}, t-${String(this.transaction)})`;
}

/**
 * Every connection is cut in the middle of a movement: it has happened or not, and repeating it
 * says which, and makes it so.
 */
class CrashWhileMoving implements fc.AsyncCommand<Model, Real> {
  constructor(
    private readonly user: number,
    private readonly amount: number,
    private readonly transaction: number,
  ) {}

  check = (model: Model): boolean => !model.transactions.has(`${String(this.user)} ${String(this.transaction)}`);

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
    await administer(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      real.database.url,
    );
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

async function restart(real: Real): Promise<void> {
  await real.app.nest.close();
  real.app = await startTestApp(real.database.url);
}

describe('The ledger', () => {
  it('does what a model of it does, in any order of adding, spending, repeating, crashing and restarting', async () => {
    const database = await createDatabase();
    const real: Real = { app: await startTestApp(database.url), userIds: [], database };
    const user = fc.nat(1);
    const transaction = fc.nat(12);
    const commands = fc.commands(
      [
        fc.tuple(user, fc.integer({ min: 1, max: 5 }), transaction).map((given) => new Move(...given)),
        fc.tuple(user, fc.integer({ min: -8, max: -1 }), transaction).map((given) => new Move(...given)),
        fc.tuple(user, fc.integer({ min: 1, max: 5 }), transaction).map((given) => new MoveAtOnce(...given)),
        fc.tuple(user, fc.integer({ min: 1, max: 5 }), transaction).map((given) => new CrashWhileMoving(...given)),
      ],
      { maxCommands: 40, size: 'max' },
    );

    await fc.assert(
      fc.asyncProperty(commands, async (given) => {
        const users = [await real.app.given.user(), await real.app.given.user()];
        const model = new Model();
        Object.assign(real, { userIds: users.map(({ id }) => id) });

        await fc.asyncModelRun(() => ({ model, real }), given);

        for (const [n, one] of users.entries())
          expect((await real.app.stored(one)).creditsBalance).toBe(model.balances[n]);
        const rows = await real.app.rows('SELECT FROM credit_entries WHERE user_id = ANY ($1)', [real.userIds]);
        expect(rows).toHaveLength(model.transactions.size);
        expect(await creditsOf(real.app).reconcile()).toEqual([]);
      }),
      { numRuns: 25, endOnFailure: true },
    );
    await real.app.nest.close();
    await database.drop();
  });
});
