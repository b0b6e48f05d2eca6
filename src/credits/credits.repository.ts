import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Actor } from '../common/audit/actor.js';
import { actorParameters } from '../common/audit/recording.js';
import type { Page, Slice } from '../common/pagination/page.js';
import { findNewest, type List, NEWEST } from '../database/list.js';
import { withoutTimeouts } from '../database/without-timeouts.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import type { CreditEntry } from './credit-entry.entity.js';

export interface Movement {
  readonly userId: string;
  /** Negative spends. */
  readonly credits: number;
  readonly transactionId: string;
  readonly transactionType: string;
  readonly by: Actor;
}

/** Inclusive UTC dates, `YYYY-MM-DD`. */
export interface Period {
  readonly startDate?: string | undefined;
  readonly endDate?: string | undefined;
}

/** A balance or a `balance_after` that is not the sum of the entries up to it. */
export interface Difference {
  readonly userId: string;
  /** Null where the user's balance itself is wrong. */
  readonly entryId: string | null;
  readonly stored: number;
  readonly expected: number;
}

const COLUMNS = `id, created_at AS "createdAt", user_id AS "userId", credits, balance_after AS "balanceAfter",
  transaction_id AS "transactionId", transaction_type AS "transactionType",
  actor, actor_user_id AS "actorUserId", actor_key_id AS "actorKeyId", request_id AS "requestId"`;

/** A row as `pg` hands it over: bigint columns arrive as text. */
type EntryRow = Omit<CreditEntry, 'credits' | 'balanceAfter'> & {
  readonly credits: string;
  readonly balanceAfter: string;
};

type DifferenceRow = Omit<Difference, 'stored' | 'expected'> & { readonly stored: string; readonly expected: string };

const RECONCILED_TOGETHER = 5_000;

const LAST = 'SELECT id FROM users WHERE $1::uuid IS NULL OR id > $1 ORDER BY id OFFSET $2 LIMIT 1';

/**
 * Of the users whose id is above $1 and not above $2; null is no bound. Sums are looked up for each user: the planner takes
 * a range of some thousands among millions of ids for one row, and would join as if it were.
 */
const DIFFERENCES = `
  SELECT user_id AS "userId", id AS "entryId", balance_after AS stored, expected
    FROM (SELECT user_id, id, balance_after, sum(credits) OVER (PARTITION BY user_id ORDER BY created_at, id) AS expected
            FROM credit_entries
           WHERE ($1::uuid IS NULL OR user_id > $1) AND ($2::uuid IS NULL OR user_id <= $2)) AS running
   WHERE balance_after <> expected
  UNION ALL
  SELECT u.id, NULL, u.credits_balance, s.expected
    FROM users u
    CROSS JOIN LATERAL (SELECT coalesce(sum(credits), 0) AS expected FROM credit_entries WHERE user_id = u.id) AS s
   WHERE ($1::uuid IS NULL OR u.id > $1) AND ($2::uuid IS NULL OR u.id <= $2) AND u.credits_balance <> s.expected
  ORDER BY 1, 2`;

/** Every statement on the ledger. This is the only writer of `users.credits_balance`. */
@Injectable()
export class CreditsRepository {
  constructor(@InjectDatabase() private readonly database: DataSource) {}

  get manager(): EntityManager {
    return this.database.manager;
  }

  /**
   * Moves a balance and writes the entry, in one statement: the guard of the update decides, so two spenders can never
   * both use the last credit. Fails on `uq_credit_entries_user_id_transaction_id`, and then moves nothing, when a
   * transaction of that id is there.
   *
   * @returns the entry, or null when the user does not exist or the balance would leave its bounds
   */
  async move(
    { userId, credits, transactionId, transactionType, by }: Movement,
    manager: EntityManager,
  ): Promise<CreditEntry | null> {
    const [row] = await manager.query<EntryRow[]>(
      `WITH moved AS (
         UPDATE users SET credits_balance = credits_balance + $2::bigint, version = version + 1,
                          updated_at = greatest(clock_timestamp(), updated_at + interval '1 ms')
          WHERE id = $1 AND credits_balance + $2::bigint BETWEEN 0 AND 9007199254740991
         RETURNING id, credits_balance, updated_at)
       INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type,
                                   actor, actor_user_id, actor_key_id, request_id)
       SELECT updated_at, id, $2, credits_balance, $3, $4, $5, $6, $7, $8 FROM moved
       RETURNING ${COLUMNS}`,
      [userId, credits, transactionId, transactionType, ...actorParameters(by)],
    );
    return row ? toEntry(row) : null;
  }

  async findByTransactionId(
    userId: string,
    transactionId: string,
    manager: EntityManager,
  ): Promise<CreditEntry | null> {
    const sql = `SELECT ${COLUMNS} FROM credit_entries WHERE user_id = $1 AND transaction_id = $2`;
    const [row] = await manager.query<EntryRow[]>(sql, [userId, transactionId]);
    return row ? toEntry(row) : null;
  }

  /** The user's entries in the period, the newest first. */
  async findPage(userId: string, { startDate, endDate }: Period, slice: Slice): Promise<Page<CreditEntry>> {
    const filter = `user_id = $1 AND ($2::date IS NULL OR created_at >= $2::date::timestamp AT TIME ZONE 'UTC')
      AND ($3::date IS NULL OR created_at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC')`;
    const parameters = [userId, startDate, endDate];
    const list: List = { columns: COLUMNS, table: 'credit_entries', filter, parameters, order: NEWEST };
    const page = await findNewest<EntryRow>(this.database, list, slice);
    return { ...page, rows: page.rows.map(toEntry) };
  }

  /**
   * Compares every balance and every `balance_after` with the sums of the entries, without a lock, for some thousands of
   * users at a time: a user's balance and entries are read in one snapshot, and no snapshot is held for long.
   *
   * @param onProgress hears the share of the users that is done, from 0 to 1
   */
  findDifferences(onProgress: (share: number) => void): Promise<Difference[]> {
    return withoutTimeouts(this.database, async (query) => {
      const [counted] = await query<{ readonly users: string }>('SELECT count(*) AS users FROM users', []);
      const differences: Difference[] = [];
      let done = 0;
      let after: string | null = null;
      do {
        const [last]: { readonly id: string }[] = await query(LAST, [after, RECONCILED_TOGETHER - 1]);
        const upTo: string | null = last?.id ?? null;
        for (const { stored, expected, ...where } of await query<DifferenceRow>(DIFFERENCES, [after, upTo]))
          differences.push({ ...where, stored: Number(stored), expected: Number(expected) });
        done += RECONCILED_TOGETHER;
        onProgress(upTo === null ? 1 : Math.min(1, done / Number(counted?.users))); // others come meanwhile
        after = upTo;
      } while (after !== null);
      return differences;
    });
  }
}

const toEntry = (row: EntryRow): CreditEntry => ({
  id: row.id,
  createdAt: row.createdAt,
  userId: row.userId,
  user: undefined as never,
  credits: Number(row.credits),
  balanceAfter: Number(row.balanceAfter),
  transactionId: row.transactionId,
  transactionType: row.transactionType,
  actor: row.actor,
  actorUserId: row.actorUserId,
  actorKeyId: row.actorKeyId,
  requestId: row.requestId,
});
