import { Injectable } from '@nestjs/common';
import sql, { empty, type Sql } from 'sql-template-tag';
import { DataSource, type EntityManager } from 'typeorm';
import type { Actor } from '../audit-trail/actor.js';
import { ACTOR_COLUMNS, actorColumnNames, actorValues } from '../audit-trail/actor-columns.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { type Columns, selectList } from '../database/columns.js';
import { query } from '../database/query.js';
import { findNewest, type List, NEWEST, NEWEST_NULLS_LAST } from '../database/list.js';
import { withoutTimeouts } from '../database/without-timeouts.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import type { CreditEntry } from './credit-entry.entity.js';

export interface Movement {
  readonly userId: string;
  /** Negative spends. */
  readonly credits: number;
  readonly transactionId: string;
  readonly transactionType: string;
  readonly apiKeyId: string | null;
  readonly by: Actor;
}

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

const COLUMNS = {
  id: 'id',
  createdAt: 'created_at',
  userId: 'user_id',
  credits: 'credits',
  balanceAfter: 'balance_after',
  transactionId: 'transaction_id',
  transactionType: 'transaction_type',
  apiKeyId: 'api_key_id',
  ...ACTOR_COLUMNS,
} as const satisfies Columns<CreditEntry>;

/** The select list of an entry, from a table or alias `credit_entries`. */
export const SELECTED_ENTRY = selectList(COLUMNS, 'credit_entries');

/** A row as `pg` returns it: bigint columns are text. */
export type EntryRow = Omit<CreditEntry, 'credits' | 'balanceAfter'> & {
  readonly credits: string;
  readonly balanceAfter: string;
};

type DifferenceRow = Omit<Difference, 'stored' | 'expected'> & { readonly stored: string; readonly expected: string };

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
  constructor(@InjectDatabase() private readonly database: DataSource) {}

  get manager(): EntityManager {
    return this.database.manager;
  }

  /**
   * Moves a balance and writes the entry, in one statement: the guard of the update decides, so two
   * spenders can never both use the last credit. Fails on
   * `uq_credit_entries_user_id_transaction_id`, and then moves nothing, when the user has a
   * transaction of that id.
   *
   * @returns the entry, or null when the user does not exist or the balance would leave its bounds
   */
  async move(
    { userId, credits, transactionId, transactionType, apiKeyId, by }: Movement,
    manager: EntityManager,
  ): Promise<CreditEntry | null> {
    const [row] = await query<EntryRow>(
      manager,
      sql`WITH moved AS (
    UPDATE users
       SET credits_balance = credits_balance + ${credits}::bigint,
           version = version + 1,
           updated_at = greatest(clock_timestamp(), updated_at + interval '1 ms')
     WHERE id = ${userId} AND credits_balance + ${credits}::bigint BETWEEN 0 AND 9007199254740991
    RETURNING id, credits_balance, updated_at)
  INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, api_key_id,
                              ${actorColumnNames})
  SELECT updated_at, id, ${credits}, credits_balance, ${transactionId}, ${transactionType}, ${apiKeyId}, ${actorValues(by)}
    FROM moved
  RETURNING ${SELECTED_ENTRY}`,
    );
    return row ? toEntry(row) : null;
  }

  async findByTransactionId(
    userId: string,
    transactionId: string,
    manager: EntityManager,
  ): Promise<CreditEntry | null> {
    const [row] = await query<EntryRow>(
      manager,
      sql`SELECT ${SELECTED_ENTRY} FROM credit_entries WHERE user_id = ${userId} AND transaction_id = ${transactionId}`,
    );
    return row ? toEntry(row) : null;
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

export const toEntry = (row: EntryRow): CreditEntry => ({
  id: row.id,
  createdAt: row.createdAt,
  userId: row.userId,
  credits: Number(row.credits),
  balanceAfter: Number(row.balanceAfter),
  transactionId: row.transactionId,
  transactionType: row.transactionType,
  apiKeyId: row.apiKeyId,
  actor: row.actor,
  actorUserId: row.actorUserId,
  actorKeyId: row.actorKeyId,
  requestId: row.requestId,
});
