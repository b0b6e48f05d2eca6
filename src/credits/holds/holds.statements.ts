import sql, { raw, type Sql } from 'sql-template-tag';
import { heldCredits } from '../../api-keys/held-credits.js';
import { ACTOR_COLUMNS } from '../../audit-trail/actor-columns.js';
import { type Columns, selectList } from '../../database/columns.js';
import { Rows } from '../../database/rows.js';
import { Statement } from '../../database/statement.js';
import type { CreditHold, HoldStatus } from './credit-hold.entity.js';

/* The SQL of holds. `moveAll` in credits.statements.ts creates, captures and voids holds. */

/** A row as `pg` returns it: bigint columns are text. */
export type HoldRow = Omit<CreditHold, 'amount' | 'captured'> & {
  readonly amount: string;
  readonly captured: string | null;
};

export const toHold = (row: HoldRow): CreditHold => ({
  id: row.id,
  createdAt: row.createdAt,
  userId: row.userId,
  amount: Number(row.amount),
  status: row.status,
  expiresAt: row.expiresAt,
  settledAt: row.settledAt,
  captured: row.captured === null ? null : Number(row.captured),
  transactionId: row.transactionId,
  transactionType: row.transactionType,
  apiKeyId: row.apiKeyId,
  actor: row.actor,
  actorUserId: row.actorUserId,
  actorKeyId: row.actorKeyId,
  requestId: row.requestId,
  actorAccount: row.actorAccount,
});

/** The columns whose values do not depend on the time. */
const COLUMNS = {
  id: 'id',
  createdAt: 'created_at',
  userId: 'user_id',
  amount: 'amount',
  expiresAt: 'expires_at',
  captured: 'captured',
  transactionId: 'transaction_id',
  transactionType: 'transaction_type',
  apiKeyId: 'api_key_id',
  ...ACTOR_COLUMNS,
} as const satisfies Columns<Omit<CreditHold, 'status' | 'settledAt'>>;

/** The start of the statement. */
const NOW = raw('statement_timestamp()');

const HAS_EXPIRED = sql`credit_holds.status = 'OPEN' AND credit_holds.expires_at <= ${NOW}`;

/**
 * The select list of a hold, from a table or alias `credit_holds`: from its expiry on its status is
 * EXPIRED, even if the row still has another one.
 */
export const SELECTED_HOLD = sql`${selectList(COLUMNS, 'credit_holds')},
         CASE WHEN ${HAS_EXPIRED} THEN 'EXPIRED' ELSE credit_holds.status END AS status,
         CASE WHEN ${HAS_EXPIRED} THEN credit_holds.expires_at ELSE credit_holds.settled_at END AS "settledAt"`;

/** Whether a hold has this status now. */
export const hasStatus = (status: HoldStatus): Sql => {
  if (status === 'OPEN') return sql`status = 'OPEN' AND expires_at > ${NOW}`;
  if (status === 'EXPIRED') return sql`(status = 'EXPIRED' OR ${HAS_EXPIRED})`;
  return sql`status = ${status}`;
};

/** The parts of a list of holds with this status: an index has the rows of each. */
export const partsOfStatus = (status: HoldStatus): readonly Sql[] =>
  status === 'EXPIRED' ? [sql`status = ${status}`, HAS_EXPIRED] : [hasStatus(status)];

/** The credits of an account `users` that are held now, without those of expired holds. */
export const HELD = heldCredits(raw('users'));

export const HOLD_IDS = new Rows<string>({ id: ['uuid', (id) => id] });

/** One row for each id, with nulls if no hold has it: a missing row is a fault. */
export const FIND_HOLDS = new Statement<
  (HoldRow & { readonly requestedId: string }) | { readonly requestedId: string; readonly id: null }
>(
  'find_holds',
  sql`SELECT request.id AS "requestedId", ${SELECTED_HOLD}
        FROM ${HOLD_IDS.prepared('request')}
        LEFT JOIN LATERAL (SELECT * FROM credit_holds WHERE id = request.id LIMIT 1) AS credit_holds ON true`,
);

/**
 * The maximum number of accounts whose expired holds one statement releases, and of holds of all
 * these accounts together. The statement takes some tens of milliseconds: movements of the accounts
 * wait for it, and `statement_timeout` would undo all of it.
 */
export const RELEASED_TOGETHER = { accounts: 100, holds: 500 } as const;

const HOLDS_TOGETHER = raw(String(RELEASED_TOGETHER.holds));

/**
 * Ends holds that have expired, the oldest of each account first, and lowers the held credits of
 * their accounts. The balance does not change, because nothing was taken. The accounts are locked
 * first, and then their holds: a hold that was captured or voided meanwhile is read again, and not
 * changed.
 *
 * @param accounts a query of the ids of the accounts
 * @param locked how to treat accounts that other transactions have locked: wait, or skip them
 * @returns a row for each account with ended holds, with their number
 */
export const release = (accounts: Sql, locked: Sql): Sql =>
  sql`WITH account AS (
    SELECT id FROM users WHERE id IN (${accounts}) ORDER BY id FOR NO KEY UPDATE ${locked}),
  expired AS (
    SELECT hold.id
      FROM account,
           LATERAL (SELECT id
                      FROM credit_holds
                     WHERE user_id = account.id AND status = 'OPEN' AND expires_at <= clock_timestamp()
                     ORDER BY expires_at, id
                     LIMIT ${HOLDS_TOGETHER}
                       FOR NO KEY UPDATE) AS hold
     LIMIT ${HOLDS_TOGETHER}),
  ended AS (
    UPDATE credit_holds
       SET status = 'EXPIRED', settled_at = expires_at
      FROM expired
     WHERE credit_holds.id = expired.id
    RETURNING user_id, amount),
  released AS (
    UPDATE users
       SET credits_held = credits_held - total.amount
      FROM (SELECT user_id, sum(amount) AS amount, count(*)::int AS holds FROM ended GROUP BY user_id) AS total
     WHERE users.id = total.user_id
    RETURNING users.id, total.holds)
  SELECT id, holds FROM released`;

/** The number of holds of an account that `release` has ended. */
export interface ReleasedRow {
  readonly id: string;
  readonly holds: number;
}

/**
 * The next accounts with expired holds after an id; null starts with the first. A sweep that
 * continues after the last of them reads the open holds once, and locked accounts delay no others.
 */
export const nextExpiredAccounts = (after: string | null): Sql => sql`SELECT DISTINCT user_id AS id
  FROM credit_holds
 WHERE status = 'OPEN' AND expires_at <= ${NOW} AND (${after}::uuid IS NULL OR user_id > ${after})
 ORDER BY user_id
 LIMIT ${raw(String(RELEASED_TOGETHER.accounts))}`;
