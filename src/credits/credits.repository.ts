import { Injectable } from '@nestjs/common';
import sql, { empty, join, type Sql } from 'sql-template-tag';
import { DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import { Counters } from '../common/counters/counters.js';
import { violates } from '../common/errors/constraint.js';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import type { Period } from '../common/validation/period.js';
import { afterCommit } from '../database/after-commit.js';
import { createdWithin } from '../database/period.js';
import { query } from '../database/query.js';
import { findNewest, type List, NEWEST, NEWEST_NULLS_LAST } from '../database/list.js';
import { RETRIES, retryingConflicts } from '../database/retry.js';
import { firstOf, IncompleteResultError, type Statement } from '../database/statement.js';
import { StatementBatcher } from '../database/statement-batcher.js';
import { withoutTimeouts } from '../database/without-timeouts.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import type { CreditEntry } from './credit-entry.entity.js';
import {
  type EntryRow,
  MOVE,
  MOVE_UNLOCKED,
  type MovedRow,
  type Movement,
  MOVEMENTS,
  type PlacedMovement,
  SELECTED_ENTRY,
  toEntry,
} from './credits.statements.js';
import type { CreditHold, HoldStatus } from './holds/credit-hold.entity.js';
import {
  FIND_HOLDS,
  hasStatus,
  HELD,
  HOLD_IDS,
  type HoldRow,
  nextExpiredAccounts,
  partsOfStatus,
  release,
  RELEASED_TOGETHER,
  type ReleasedRow,
  SELECTED_HOLD,
  toHold,
} from './holds/holds.statements.js';
import { type Account, MovementBatcher, type Outcome, type Outcomes } from './movement-batcher.js';

/** A filter of the entries of a user; undefined does not restrict. */
export interface CreditFilter extends Period {
  /** The key for which credits were spent. */
  readonly apiKeyId?: string | undefined;
  readonly transactionId?: string | undefined;
  readonly transactionType?: string | undefined;
}

/** A filter of the holds of a user; undefined does not restrict. */
export interface HoldFilter {
  readonly status?: HoldStatus | undefined;
}

/** A stored value of a user that does not agree with the user's entries and holds. */
export interface Difference {
  /**
   * - `balance`: the balance is not the sum of the entries.
   * - `balance_after`: the value of an entry is not the sum of the entries up to it.
   * - `credits_held`: the held credits are not the sum of the holds that are stored as open.
   * - `hold`: the entry with the transaction id of a hold does not agree with the hold. A captured
   *   hold must have an entry of the captured credits, an open hold none.
   */
  readonly kind: 'balance' | 'balance_after' | 'credits_held' | 'hold';
  readonly userId: string;
  /** The wrong entry, or the entry with the transaction id of the hold. */
  readonly entryId: string | null;
  readonly holdId: string | null;
  /** Credits; for a hold those of the entry, which are negative, or 0 without an entry. */
  readonly stored: number;
  readonly expected: number;
}

type DifferenceRow = Omit<Difference, 'stored' | 'expected'> & { readonly stored: string; readonly expected: string };

const TRANSACTION_ID = 'uq_credit_entries_user_id_transaction_id';

const RECONCILED_TOGETHER = 5_000;

/** The last of the next users after an id; null starts with the first users. */
const lastOfNext = (after: string | null): Sql => sql`SELECT id
  FROM users
 WHERE ${after}::uuid IS NULL OR id > ${after}
 ORDER BY id
OFFSET ${RECONCILED_TOGETHER - 1} LIMIT 1`;

/**
 * Differences for the users whose id is above `after` and not above `upTo`; null is unbounded. Sums
 * and entries of holds are looked up one by one: the planner estimates a narrow range of ids at one
 * row, and would choose a join that reads the whole other table for each row.
 *
 * The clock is read after the snapshot was taken, so that an entry that was made after the expiry
 * of a hold is never mistaken for an earlier one.
 */
const differences = (after: string | null, upTo: string | null): Sql => {
  const inRange = (id: Sql): Sql =>
    sql`(${after}::uuid IS NULL OR ${id} > ${after}) AND (${upTo}::uuid IS NULL OR ${id} <= ${upTo})`;
  return sql`SELECT 'balance_after' AS kind, user_id AS "userId", id AS "entryId", NULL::uuid AS "holdId", balance_after AS stored, expected
  FROM (SELECT user_id, id, balance_after, sum(credits) OVER (PARTITION BY user_id ORDER BY created_at, id) AS expected
          FROM credit_entries
         WHERE ${inRange(sql`user_id`)}) AS running
 WHERE balance_after <> expected
UNION ALL
SELECT compared.kind, account.id, NULL, NULL, compared.stored, compared.expected
  FROM (SELECT u.id, u.credits_balance, u.credits_held, entries.balance,
               CASE WHEN u.credits_held = 0 THEN 0 ELSE (SELECT coalesce(sum(amount), 0)
                                                           FROM credit_holds
                                                          WHERE user_id = u.id AND status = 'OPEN') END AS held
          FROM users AS u
         CROSS JOIN LATERAL (SELECT coalesce(sum(credits), 0) AS balance FROM credit_entries WHERE user_id = u.id) AS entries
         WHERE ${inRange(sql`u.id`)} AND (u.credits_balance <> entries.balance OR u.credits_held <> 0)) AS account
 CROSS JOIN LATERAL (VALUES ('balance', account.credits_balance, account.balance),
                            ('credits_held', account.credits_held, account.held)) AS compared (kind, stored, expected)
 WHERE compared.stored <> compared.expected
UNION ALL
SELECT 'credits_held', user_id, NULL, NULL, 0, sum(amount)
  FROM credit_holds
 WHERE ${inRange(sql`user_id`)} AND status = 'OPEN'
 GROUP BY user_id
HAVING (SELECT credits_held FROM users WHERE id = user_id) = 0
UNION ALL
SELECT 'hold', hold.user_id, entry.id, hold.id, compared.stored, compared.expected
  FROM credit_holds AS hold
  LEFT JOIN LATERAL (SELECT id, credits
                       FROM credit_entries
                      WHERE user_id = hold.user_id AND transaction_id = hold.transaction_id
                      LIMIT 1) AS entry ON true
 CROSS JOIN LATERAL (SELECT coalesce(entry.credits, 0) AS stored, -coalesce(hold.captured, 0) AS expected) AS compared
 WHERE ${inRange(sql`hold.user_id`)}
   AND (hold.status = 'CAPTURED' OR hold.status = 'OPEN' AND hold.expires_at > clock_timestamp())
   AND compared.stored <> compared.expected
 ORDER BY "userId", kind, "entryId", "holdId"`;
};

/** Every statement on the ledger. This is the only writer of `users.credits_balance`. */
@Injectable()
export class CreditsRepository {
  private readonly movements: MovementBatcher;
  private readonly holdLookups: StatementBatcher<string, CreditHold | null>;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    private readonly counters: Counters,
  ) {
    this.movements = new MovementBatcher({
      runMany: async (groups) => {
        const rows = await this.runMoves(MOVE_UNLOCKED, groups);
        return Promise.all(
          groups.map(async (group) => {
            const outcomes = await this.outcomesOf(group, rows).catch((error: unknown) =>
              group.map(() => error as Error),
            );
            return outcomes === 'undecided' ? undefined : outcomes;
          }),
        ); // a missing account may be locked: its movements run alone, and wait for it
      },
      runOne: (group) => this.moveGroup(group),
      onBatch: counters.batchSizeOf('move_credits'),
    });
    this.holdLookups = new StatementBatcher({
      runMany: (ids) => this.findHolds(ids),
      runOne: async (id) => firstOf(await this.findHolds([id])),
      onBatch: counters.batchSizeOf('find_holds'),
    });
    counters.watchQueue('move_credits', this.movements);
    counters.watchQueue('find_holds', this.holdLookups);
  }

  /**
   * Moves a balance or held credits, and writes the entry or the hold, in one statement, which
   * movements of the same moment share. Its guard is evaluated under the lock of the account, so
   * two requests can never both spend the last credit. Safe to repeat.
   */
  move(movement: Movement): Promise<Outcome | 'unknown_user'> {
    return this.movements.run(movement);
  }

  /** Like `move`, in the caller's transaction, which remains usable after an error. */
  async moveWithin(movement: Movement, manager: EntityManager): Promise<Outcome | 'unknown_user'> {
    // A failed statement would abort the caller's transaction; after a savepoint it does not.
    const [outcome = new IncompleteResultError()] = await manager.transaction((inner) =>
      this.moveLocked([movement], inner),
    );
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }

  /** The hold with this id. Lookups of the same moment share a statement. */
  findHold(id: string, manager?: EntityManager): Promise<CreditHold | null> {
    return manager ? this.findHoldWithin(id, manager) : this.holdLookups.run(id);
  }

  private async findHoldWithin(id: string, manager: EntityManager): Promise<CreditHold | null> {
    const [row] = await query<HoldRow>(manager, sql`SELECT ${SELECTED_HOLD} FROM credit_holds WHERE id = ${id}`);
    return row ? toHold(row) : null;
  }

  private async findHolds(ids: readonly string[]): Promise<(CreditHold | null)[]> {
    const rows = await FIND_HOLDS.run(this.database, HOLD_IDS.values(ids));
    const byId = new Map(rows.map((row) => [row.requestedId, row.id === null ? null : toHold(row)]));
    return ids.map((id) => {
      const hold = byId.get(id);
      if (hold === undefined) throw new IncompleteResultError();
      return hold;
    });
  }

  /**
   * Runs the movements of one account. A movement that the database refuses to store fails alone.
   */
  private async moveGroup(group: readonly Movement[]): Promise<Outcomes> {
    try {
      return await this.moveAccount(group);
    } catch (error) {
      if (group.length === 1 || isDatabaseUnavailable(error) || !(error instanceof QueryFailedError)) throw error;
    }
    const outcomes: Outcomes[number][] = [];
    let unavailable: Error | undefined;
    for (const movement of group) {
      const [outcome = new IncompleteResultError()] = unavailable
        ? [unavailable]
        : await this.moveAccount([movement]).catch((error: unknown) => [error as Error]);
      if (isDatabaseUnavailable(outcome)) unavailable = outcome as Error;
      outcomes.push(outcome);
    }
    return outcomes;
  }

  /** Waits for the lock of the account. */
  private async moveAccount(group: readonly Movement[]): Promise<Outcomes> {
    for (let violations = 0; ; violations += 1) {
      try {
        const rows = await retryingConflicts(() => this.runMoves(MOVE, [group]), RETRIES - 1);
        const outcomes = await this.outcomesOf(group, rows);
        if (outcomes !== 'undecided') return outcomes ?? group.map(() => 'unknown_user');
        return await retryingConflicts(() => this.database.manager.transaction((own) => this.moveLocked(group, own)));
      } catch (error) {
        // Each time, another transaction has just committed one of these ids, which the next run
        // finds.
        if (!violates(error, TRANSACTION_ID) || violations === group.length) throw error;
      }
    }
  }

  /**
   * Locks the account before the statement begins, so that the statement sees every entry and hold
   * that was committed before. Expired holds are released first.
   */
  private async moveLocked(group: readonly Movement[], manager: EntityManager): Promise<Outcomes> {
    const [{ userId } = { userId: '' }] = group;
    await query(manager, sql`SELECT FROM users WHERE id = ${userId} FOR NO KEY UPDATE`);
    for (;;) {
      const rows = byAccount(await MOVE.runWithin(manager, MOVEMENTS.values(placed([group]))));
      const outcomes = await this.outcomesOf(group, rows);
      if (outcomes !== 'undecided') return outcomes ?? group.map(() => 'unknown_user');
      await this.release(sql`SELECT ${userId}::uuid`, empty, manager);
    }
  }

  private async runMoves(
    statement: Statement<MovedRow>,
    groups: readonly (readonly Movement[])[],
  ): Promise<ReadonlyMap<string, readonly MovedRow[]>> {
    return byAccount(await statement.run(this.database, MOVEMENTS.values(placed(groups))));
  }

  /**
   * @returns undefined for an account that the statement did not find or skipped; `undecided` if it
   *   moved nothing because of holds
   */
  private async outcomesOf(
    group: readonly Movement[],
    rowsByAccount: ReadonlyMap<string, readonly MovedRow[]>,
  ): Promise<Outcomes | 'undecided' | undefined> {
    const [first] = group;
    const rows = rowsByAccount.get(first?.userId ?? '');
    const [row] = rows ?? [];
    if (!rows || !row) return undefined;
    if (row.undecided) return 'undecided';
    const made = madeBy(rows);
    if ([...made.values()].filter(({ replayed }) => !replayed).length !== row.changes)
      throw new IncompleteResultError();
    const refused = group.filter((movement) => isRefused(movement, made.get(movement.transactionId) ?? NOTHING));
    if (row.stale && refused.length > 0) {
      const ids = refused.map(({ transactionId }) => transactionId);
      for (const entry of await this.findByTransactionIds(row.accountId, ids))
        made.set(entry.transactionId, { ...NOTHING, entry });
    }
    const account = { balance: Number(row.balance), held: Number(row.held) };
    return group.map(({ transactionId }) => ({ ...(made.get(transactionId) ?? NOTHING), account }));
  }

  /**
   * Releases the credits of expired holds of all accounts that are not locked, in slices. Only
   * cleanup: an expired hold has no effect, and is released before the balance of its account
   * moves.
   */
  async releaseExpired(stop?: AbortSignal): Promise<void> {
    let after: string | null = null;
    while (!stop?.aborted) {
      const accounts: readonly { readonly id: string }[] = await query(this.database, nextExpiredAccounts(after));
      if (accounts.length === 0) return;
      const ids = accounts.map(({ id }) => id);
      let remain = true;
      // A locked account, or one with holds that expire meanwhile, is left to the next run.
      while (remain && !stop?.aborted) {
        remain = (await this.release(sql`SELECT unnest(${ids}::uuid[])`, sql`SKIP LOCKED`)) === RELEASED_TOGETHER.holds;
      }
      after = ids.at(-1) ?? null;
    }
  }

  /** @returns the number of ended holds */
  private async release(accounts: Sql, locked: Sql, manager?: EntityManager): Promise<number> {
    const statement = release(accounts, locked);
    const run = (on: DataSource | EntityManager): Promise<ReleasedRow[]> => query(on, statement);
    const rows = await (manager ? run(manager) : retryingConflicts(() => run(this.database)));
    const ended = rows.reduce((sum, { holds }) => sum + holds, 0);
    afterCommit(manager, () => {
      this.counters.expiredHolds.inc(ended);
    });
    return ended;
  }

  private async findByTransactionIds(userId: string, transactionIds: readonly string[]): Promise<CreditEntry[]> {
    const rows = await query<EntryRow>(
      this.database,
      sql`SELECT ${SELECTED_ENTRY} FROM credit_entries WHERE user_id = ${userId} AND transaction_id = ANY (${transactionIds})`,
    );
    return rows.map(toEntry);
  }

  /** The user's holds that match the filter, the newest first. */
  async findHoldPage(userId: string, { status }: HoldFilter, window: PageWindow): Promise<Page<CreditHold>> {
    const holds = { columns: SELECTED_HOLD, table: 'credit_holds' };
    const list: List =
      status === undefined
        ? { ...holds, filter: sql`user_id = ${userId}`, order: NEWEST }
        : {
            ...holds,
            filter: sql`user_id = ${userId} AND ${hasStatus(status)}`,
            parts: partsOfStatus(status),
            order: NEWEST_NULLS_LAST,
          };
    const page = await findNewest<HoldRow>(this.database, list, window);
    return { ...page, rows: page.rows.map(toHold) };
  }

  /** The number of open holds of all users. */
  async countOpenHolds(): Promise<number> {
    const [counted] = await query<{ readonly holds: number }>(
      this.database,
      sql`SELECT count(*)::int AS holds FROM credit_holds WHERE ${hasStatus('OPEN')}`,
    );
    return counted?.holds ?? 0;
  }

  /** The balance and the held credits of a user; null when no such user exists. */
  async findAccount(userId: string, manager?: EntityManager): Promise<Account | null> {
    const [row] = await query<{ readonly balance: string; readonly held: string }>(
      manager ?? this.database,
      sql`SELECT credits_balance AS balance, ${HELD} AS held FROM users WHERE id = ${userId}`,
    );
    return row ? { balance: Number(row.balance), held: Number(row.held) } : null;
  }

  /** The user's entries that match the filter, the newest first. */
  async findPage(userId: string, filter: CreditFilter, window: PageWindow): Promise<Page<CreditEntry>> {
    const { apiKeyId, transactionId, transactionType } = filter;
    const conditions = [
      sql`user_id = ${userId}`,
      ...createdWithin(filter),
      ...(apiKeyId === undefined ? [] : [sql`api_key_id = ${apiKeyId}`]),
      ...(transactionId === undefined ? [] : [sql`transaction_id = ${transactionId}`]),
      ...(transactionType === undefined ? [] : [sql`transaction_type = ${transactionType}`]),
    ];
    const list: List = {
      columns: SELECTED_ENTRY,
      table: 'credit_entries',
      filter: join(conditions, ' AND '),
      // `NEWEST` is the order of the index on all entries; the other indexes have the other order.
      order: apiKeyId === undefined && transactionType === undefined ? NEWEST : NEWEST_NULLS_LAST,
    };
    const page = await findNewest<EntryRow>(this.database, list, window);
    return { ...page, rows: page.rows.map(toEntry) };
  }

  /**
   * Compares balances, held credits, entries and holds with each other, without a lock, for some
   * thousands of users at a time: all data of a user is read in one snapshot, and no snapshot is
   * held for long.
   *
   * @param onProgress called with the completed share of the users, from 0 to 1
   */
  findDifferences(onProgress: (share: number) => void): Promise<Difference[]> {
    return withoutTimeouts(this.database, async (run) => {
      const [counted] = await run<{ readonly users: string }>(sql`SELECT count(*) AS users FROM users`);
      const found: Difference[] = [];
      let done = 0;
      let after: string | null = null;
      do {
        const [last]: { readonly id: string }[] = await run(lastOfNext(after));
        const upTo: string | null = last?.id ?? null;
        for (const { stored, expected, ...where } of await run<DifferenceRow>(differences(after, upTo)))
          found.push({ ...where, stored: Number(stored), expected: Number(expected) });
        done += RECONCILED_TOGETHER;
        onProgress(upTo === null ? 1 : Math.min(1, done / Number(counted?.users))); // users may be added meanwhile
        after = upTo;
      } while (after !== null);
      return found;
    });
  }
}

const placed = (groups: readonly (readonly Movement[])[]): PlacedMovement[] =>
  groups.flatMap((group) => group.map((movement, index) => ({ ...movement, place: index + 1 })));

function byAccount(rows: readonly MovedRow[]): ReadonlyMap<string, readonly MovedRow[]> {
  const accounts = new Map<string, MovedRow[]>();
  for (const row of rows) {
    const others = accounts.get(row.accountId);
    if (others) others.push(row);
    else accounts.set(row.accountId, [row]);
  }
  return accounts;
}

/** The entry and the hold that a movement has made, or found by its transaction id. */
type Made = Pick<Outcome, 'entry' | 'hold' | 'replayed'>;

const NOTHING: Made = { entry: null, hold: null, replayed: true };

function madeBy(rows: readonly MovedRow[]): Map<string, Made> {
  const made = new Map<string, Made>();
  for (const row of rows) {
    if (row.table === null) continue;
    const { transactionId, replayed } = row;
    const { entry, hold, replayed: others } = made.get(transactionId) ?? NOTHING;
    const isLater = !hold || !replayed; // an ended hold has a row of its earlier state, too
    made.set(transactionId, {
      entry: row.table === 'credit_entries' ? toEntry(row) : entry,
      hold: row.table === 'credit_holds' && isLater ? toHold(row) : hold,
      replayed: others && replayed,
    });
  }
  return made;
}

/**
 * Whether a movement was refused: the credits did not suffice, or the balance would exceed its
 * limit.
 */
const isRefused = ({ kind }: Movement, { entry, hold }: Made): boolean =>
  entry === null && ((kind === 'move' && hold?.status !== 'OPEN') || (kind === 'hold' && hold === null));
