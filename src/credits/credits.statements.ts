import sql, { empty, raw, type Sql } from 'sql-template-tag';
import type { Actor } from '../audit-trail/actor.js';
import { ACTOR_COLUMNS, actorColumnNames, actorRows, actorValues } from '../audit-trail/actor-columns.js';
import { type Columns, selectList } from '../database/columns.js';
import { Rows } from '../database/rows.js';
import { Statement } from '../database/statement.js';
import type { CreditEntry } from './credit-entry.entity.js';

/* The SQL of `CreditsRepository` that moves balances; test/sql has it as it is sent. */

export interface Movement {
  readonly userId: string;
  /** Negative spends. */
  readonly credits: number;
  readonly transactionId: string;
  readonly transactionType: string;
  readonly apiKeyId: string | null;
  readonly by: Actor;
}

/** Whether two of one id are the same movement, as a repeated request is. */
export const isSame = (one: Movement | CreditEntry, other: Movement): boolean =>
  one.credits === other.credits && one.transactionType === other.transactionType && one.apiKeyId === other.apiKeyId;

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

/** Whether a movement may leave this balance: the only guard of a balance. */
const isAllowed = (balance: Sql): Sql => sql`${balance} BETWEEN 0 AND 9007199254740991`;

/** A later instant than that of any earlier change of the user, however fast they follow. */
const LATER = raw(`greatest(clock_timestamp(), updated_at + interval '1 ms')`);

const INSERTED_COLUMNS = sql`created_at, user_id, credits, balance_after, transaction_id, transaction_type, api_key_id,
                              ${actorColumnNames}`;

/**
 * One movement, in the caller's transaction. Fails on `uq_credit_entries_user_id_transaction_id`,
 * and then moves nothing, when the user has a transaction of that id. Returns no row when the user
 * does not exist or the balance would leave its bounds.
 */
export const moveOne = ({ userId, credits, transactionId, transactionType, apiKeyId, by }: Movement): Sql =>
  sql`WITH moved AS (
    UPDATE users
       SET credits_balance = credits_balance + ${credits}::bigint,
           version = version + 1,
           updated_at = ${LATER}
     WHERE id = ${userId} AND ${isAllowed(sql`credits_balance + ${credits}::bigint`)}
    RETURNING id, credits_balance, updated_at)
  INSERT INTO credit_entries (${INSERTED_COLUMNS})
  SELECT updated_at, id, ${credits}, credits_balance, ${transactionId}, ${transactionType}, ${apiKeyId}, ${actorValues(by)}
    FROM moved
  RETURNING ${SELECTED_ENTRY}`;

/** A movement, and its place among those of its account in the statement, from 1. */
export interface PlacedMovement extends Movement {
  readonly place: number;
}

export const MOVEMENTS = new Rows<PlacedMovement>({
  user_id: ['uuid', ({ userId }) => userId],
  place: ['int', ({ place }) => place],
  credits: ['bigint', ({ credits }) => credits],
  transaction_id: ['text', ({ transactionId }) => transactionId],
  transaction_type: ['text', ({ transactionType }) => transactionType],
  api_key_id: ['uuid', ({ apiKeyId }) => apiKeyId],
  ...actorRows<PlacedMovement>(({ by }) => by),
});

/**
 * One row for each entry of the account, new or earlier, and one with nulls if there is none. An
 * account without a row does not exist, or is locked.
 */
export type MovedRow = {
  readonly accountId: string;
  /** How many of the movements were allowed, and so how many new entries there must be. */
  readonly moves: number;
  /**
   * Whether the account was changed after the statement had begun. Entries that were committed
   * meanwhile are not found then.
   */
  readonly stale: boolean;
} & (({ readonly replayed: boolean } & EntryRow) | { readonly replayed: null });

/**
 * Moves balances, and writes an entry for each movement: any number of accounts, and several
 * movements of each, which are applied in the order of their places.
 *
 * - `request`: the movements, each with the entry that its id has already, if any. With
 *   `BETWEEN … ORDER BY` one index only has the order. With `=`, two cost the same on a small
 *   table, and the plan that is kept might then read all entries of a user.
 * - `account`: the balances, locked in the order of their ids.
 * - `walk`: a row for each movement. What has an entry counts as 0; what is not allowed moves
 *   nothing, and the next one starts from the same balance.
 * - `moved`: writes each account once, and `inserted` the entries. These share the `updated_at` of
 *   the account, so their ids, of UUID version 7 (28672 is 0x7000), have the place in the 12 bits
 *   behind the version: (created_at, id) is the order of the movements.
 *
 * Fails on `uq_credit_entries_user_id_transaction_id`, and then moves nothing, when an entry was
 * committed after the statement had begun.
 *
 * @param locked what to do about accounts that other transactions have locked: wait, or skip them
 */
const moveAll = (locked: Sql): Sql =>
  sql`WITH RECURSIVE request AS MATERIALIZED (
    SELECT request.*, earlier.id AS earlier_id
      FROM ${MOVEMENTS.prepared('request')}
      LEFT JOIN LATERAL (SELECT id
                           FROM credit_entries
                          WHERE user_id = request.user_id
                            AND transaction_id BETWEEN request.transaction_id AND request.transaction_id
                          ORDER BY transaction_id
                          LIMIT 1) AS earlier ON true),
  account AS (
    SELECT id, version, credits_balance, updated_at
      FROM users
     WHERE id = ANY (ARRAY(SELECT user_id FROM request))
     ORDER BY id
       FOR NO KEY UPDATE ${locked}),
  opening AS (
    SELECT user_id, credits_balance AS balance, version, ${LATER}::timestamptz(3) AS at, credits
      FROM account
      JOIN (SELECT user_id, array_agg(CASE WHEN earlier_id IS NULL THEN credits ELSE 0 END ORDER BY place) AS credits
              FROM request
             GROUP BY user_id) AS movements ON user_id = id),
  walk (user_id, at, credits, place, balance, version, is_allowed) AS (
    SELECT user_id, at, credits, 0, balance, version, false FROM opening
    UNION ALL
    SELECT user_id, at, credits, place + 1,
           CASE WHEN next.is_allowed THEN balance + credits[place + 1] ELSE balance END,
           version + next.is_allowed::int,
           next.is_allowed
      FROM walk,
           LATERAL (SELECT credits[place + 1] <> 0 AND ${isAllowed(sql`balance + credits[place + 1]`)} AS is_allowed) AS next
     WHERE place < cardinality(credits)),
  closing AS (
    SELECT user_id, balance, version, at FROM walk WHERE place = cardinality(credits)),
  moved AS (
    UPDATE users
       SET credits_balance = closing.balance, version = closing.version, updated_at = closing.at
      FROM closing
     WHERE users.id = closing.user_id AND users.version < closing.version
    RETURNING users.id),
  inserted AS (
    INSERT INTO credit_entries (id, ${INSERTED_COLUMNS})
    SELECT (lpad(to_hex(round(date_part('epoch', at) * 1000)::bigint), 12, '0') || to_hex(28672 + place)
              || substr(gen_random_uuid()::text, 20))::uuid,
           at, user_id, request.credits, balance, transaction_id, transaction_type, api_key_id, ${actorColumnNames}
      FROM walk
      JOIN moved ON moved.id = user_id
      JOIN request USING (user_id, place)
     WHERE is_allowed
    RETURNING ${SELECTED_ENTRY})
  SELECT account.id AS "accountId", (closing.version - account.version)::int AS moves,
         account.version <> (SELECT version FROM users WHERE id = account.id) AS stale, entry.*
    FROM account
    JOIN closing ON closing.user_id = account.id
    LEFT JOIN (SELECT *, false AS replayed
                 FROM inserted
               UNION ALL
               SELECT ${SELECTED_ENTRY}, true
                 FROM request, LATERAL (SELECT * FROM credit_entries WHERE id = earlier_id LIMIT 1) AS credit_entries
                WHERE earlier_id IS NOT NULL) AS entry ON entry."userId" = account.id`;

export const MOVE = new Statement<MovedRow>('move_credits', moveAll(empty));
export const MOVE_UNLOCKED = new Statement<MovedRow>('move_unlocked_credits', moveAll(sql`SKIP LOCKED`));
