import { Injectable } from '@nestjs/common';
import sql, { empty, type Sql } from 'sql-template-tag';
import { DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import { Counters } from '../common/counters/counters.js';
import { violates } from '../common/errors/constraint.js';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { query } from '../database/query.js';
import { findNewest, type List, NEWEST, NEWEST_NULLS_LAST } from '../database/list.js';
import { RETRIES, retryingConflicts } from '../database/retry.js';
import { IncompleteResultError, type Statement } from '../database/statement.js';
import { withoutTimeouts } from '../database/without-timeouts.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import type { CreditEntry } from './credit-entry.entity.js';
import {
  type EntryRow,
  MOVE,
  MOVE_UNLOCKED,
  type MovedRow,
  type Movement,
  moveOne,
  MOVEMENTS,
  SELECTED_ENTRY,
  toEntry,
} from './credits.statements.js';
import { MovementBatcher, type Outcome, type Outcomes } from './movement-batcher.js';

/** Which entries of a user to list; undefined does not restrict. */
export interface CreditFilter {
  /** The first day, in UTC, as `YYYY-MM-DD`. */
  readonly startDate?: string | undefined;
  /** The last day, which is included. */
  readonly endDate?: string | undefined;
  /** The key for which credits were spent. */
  readonly apiKeyId?: string | undefined;
}

/** A balance or a `balance_after` that is not the sum of the entries up to it. */
export interface Difference {
  readonly userId: string;
  /** Null where the user's balance itself is wrong. */
  readonly entryId: string | null;
  readonly stored: number;
  readonly expected: number;
}

type DifferenceRow = Omit<Difference, 'stored' | 'expected'> & { readonly stored: string; readonly expected: string };

const TRANSACTION_ID = 'uq_credit_entries_user_id_transaction_id';

const RECONCILED_TOGETHER = 5_000;

/** The last of the next users behind an id, which is null for the first ones. */
const lastOfNext = (after: string | null): Sql => sql`SELECT id
  FROM users
 WHERE ${after}::uuid IS NULL OR id > ${after}
 ORDER BY id
OFFSET ${RECONCILED_TOGETHER - 1} LIMIT 1`;

/**
 * Balances that differ from the entries, for the users whose id is above `after` and not above
 * `upTo`; null is unbounded. Sums are looked up for each user: the planner estimates a narrow range
 * of ids at one row, and would choose a nested-loop join.
 */
const differences = (
  after: string | null,
  upTo: string | null,
): Sql => sql`SELECT user_id AS "userId", id AS "entryId", balance_after AS stored, expected
  FROM (SELECT user_id, id, balance_after, sum(credits) OVER (PARTITION BY user_id ORDER BY created_at, id) AS expected
          FROM credit_entries
         WHERE (${after}::uuid IS NULL OR user_id > ${after}) AND (${upTo}::uuid IS NULL OR user_id <= ${upTo})) AS running
 WHERE balance_after <> expected
UNION ALL
SELECT u.id, NULL, u.credits_balance, s.expected
  FROM users AS u
 CROSS JOIN LATERAL (SELECT coalesce(sum(credits), 0) AS expected FROM credit_entries WHERE user_id = u.id) AS s
 WHERE (${after}::uuid IS NULL OR u.id > ${after}) AND (${upTo}::uuid IS NULL OR u.id <= ${upTo})
   AND u.credits_balance <> s.expected
 ORDER BY 1, 2`;

/** Every statement on the ledger. This is the only writer of `users.credits_balance`. */
@Injectable()
export class CreditsRepository {
  private readonly movements: MovementBatcher;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    counters: Counters,
  ) {
    this.movements = new MovementBatcher({
      runMany: async (groups) => {
        const rows = await this.runMoves(MOVE_UNLOCKED, groups);
        return Promise.all(
          groups.map((group) =>
            this.outcomesOf(group, rows).catch((error: unknown) => group.map(() => error as Error)),
          ),
        ); // a missing account may be locked: its movements run alone, and wait for it
      },
      runOne: (group) => this.moveGroup(group),
      onBatch: counters.batchSizeOf('move_credits'),
    });
    counters.watchQueue('move_credits', this.movements);
  }

  /**
   * Moves a balance and writes the entry, in one statement, which movements of the same moment
   * share. Its guard decides under the lock of the account, so two spenders can never both use the
   * last credit. Safe to repeat.
   */
  move(movement: Movement): Promise<Outcome> {
    return this.movements.run(movement);
  }

  /** The same in the caller's transaction, which an error leaves usable. */
  async moveWithin(movement: Movement, manager: EntityManager): Promise<Outcome> {
    const { userId, transactionId } = movement;
    try {
      // A failed statement would end the caller's transaction; behind a savepoint it does not.
      const [row] = await manager.transaction((inner) => query<EntryRow>(inner, moveOne(movement)));
      if (row) return { entry: toEntry(row), replayed: false };
    } catch (error) {
      if (!violates(error, TRANSACTION_ID)) throw error;
    }
    // An earlier entry first: a repeated request must succeed even if the balance has changed
    // since.
    const [entry] = await this.findByTransactionIds(userId, [transactionId], manager);
    if (entry) return { entry, replayed: true };
    const users = await query(manager, sql`SELECT FROM users WHERE id = ${userId}`);
    return users.length === 0 ? 'unknown_user' : 'refused';
  }

  /** The movements of one account. One that the database refuses to store fails alone. */
  private async moveGroup(group: readonly Movement[]): Promise<Outcomes> {
    try {
      return await this.moveAccount(group);
    } catch (error) {
      if (group.length === 1 || isDatabaseUnavailable(error) || !(error instanceof QueryFailedError)) throw error;
    }
    const outcomes: (Outcome | Error)[] = [];
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
        return (await this.outcomesOf(group, rows)) ?? group.map(() => 'unknown_user');
      } catch (error) {
        // Each time, another transaction has just committed one of these ids, which the next run
        // finds.
        if (!violates(error, TRANSACTION_ID) || violations === group.length) throw error;
      }
    }
  }

  private async runMoves(
    statement: Statement<MovedRow>,
    groups: readonly (readonly Movement[])[],
  ): Promise<ReadonlyMap<string, readonly MovedRow[]>> {
    const placed = groups.flatMap((group) => group.map((movement, index) => ({ ...movement, place: index + 1 })));
    const byAccount = new Map<string, MovedRow[]>();
    for (const row of await statement.run(this.database, MOVEMENTS.values(placed))) {
      const rows = byAccount.get(row.accountId);
      if (rows) rows.push(row);
      else byAccount.set(row.accountId, [row]);
    }
    return byAccount;
  }

  /** @returns undefined for an account that the statement has not found, or has skipped */
  private async outcomesOf(
    group: readonly Movement[],
    byAccount: ReadonlyMap<string, readonly MovedRow[]>,
  ): Promise<Outcomes | undefined> {
    const [first] = group;
    const rows = byAccount.get(first?.userId ?? '');
    const [account] = rows ?? [];
    if (!rows || !account) return undefined;
    const found = rows.flatMap((row) =>
      row.replayed === null ? [] : [{ entry: toEntry(row), replayed: row.replayed }],
    );
    if (found.filter(({ replayed }) => !replayed).length !== account.moves) throw new IncompleteResultError();
    const receipts = new Map(found.map((receipt) => [receipt.entry.transactionId, receipt]));
    const refused = group.filter(({ transactionId }) => !receipts.has(transactionId));
    if (account.stale && refused.length > 0) {
      const ids = refused.map(({ transactionId }) => transactionId);
      for (const entry of await this.findByTransactionIds(account.accountId, ids, this.database))
        receipts.set(entry.transactionId, { entry, replayed: true });
    }
    return group.map(({ transactionId }) => receipts.get(transactionId) ?? 'refused');
  }

  private async findByTransactionIds(
    userId: string,
    transactionIds: readonly string[],
    on: DataSource | EntityManager,
  ): Promise<CreditEntry[]> {
    const rows = await query<EntryRow>(
      on,
      sql`SELECT ${SELECTED_ENTRY} FROM credit_entries WHERE user_id = ${userId} AND transaction_id = ANY (${transactionIds})`,
    );
    return rows.map(toEntry);
  }

  /** The user's entries that match the filter, the newest first. */
  async findPage(
    userId: string,
    { startDate, endDate, apiKeyId }: CreditFilter,
    window: PageWindow,
  ): Promise<Page<CreditEntry>> {
    const ofKey = apiKeyId === undefined ? empty : sql` AND api_key_id = ${apiKeyId}`;
    const filter = sql`user_id = ${userId}
      AND (${startDate}::date IS NULL OR created_at >= ${startDate}::date::timestamp AT TIME ZONE 'UTC')
      AND (${endDate}::date IS NULL OR created_at < (${endDate}::date + 1)::timestamp AT TIME ZONE 'UTC')${ofKey}`;
    const list: List = {
      columns: SELECTED_ENTRY,
      table: 'credit_entries',
      filter,
      order: apiKeyId === undefined ? NEWEST : NEWEST_NULLS_LAST,
    };
    const page = await findNewest<EntryRow>(this.database, list, window);
    return { ...page, rows: page.rows.map(toEntry) };
  }

  /**
   * Compares every balance and every `balance_after` with the sums of the entries, without a lock,
   * for some thousands of users at a time: a user's balance and entries are read in one snapshot,
   * and no snapshot is held for long.
   *
   * @param onProgress called with the share of the users that is done, from 0 to 1
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
        onProgress(upTo === null ? 1 : Math.min(1, done / Number(counted?.users))); // others come meanwhile
        after = upTo;
      } while (after !== null);
      return found;
    });
  }
}
