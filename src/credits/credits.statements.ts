import sql, { empty, raw, type Sql } from 'sql-template-tag';
import type { Actor } from '../audit-trail/actor.js';
import { ACTOR_COLUMNS, actorColumnNames, actorRows } from '../audit-trail/actor-columns.js';
import { type Columns, selectList } from '../database/columns.js';
import { Rows } from '../database/rows.js';
import { Statement } from '../database/statement.js';
import type { CreditEntry } from './credit-entry.entity.js';
import { type HoldRow, SELECTED_HOLD } from './holds/holds.statements.js';

/* The SQL of `CreditsRepository` that moves balances; test/sql contains the text that is sent. */

/** A movement of credits: of the balance, or between available and held credits. */
export interface Movement {
  readonly userId: string;
  /**
   * `move` changes the balance and creates an entry; `hold` creates a hold; `capture` takes credits
   * of a hold, creates an entry and ends the hold; `void` ends a hold.
   */
  readonly kind: 'move' | 'hold' | 'capture' | 'void';
  /** Added to the balance; negative if credits are spent. 0 for a hold and for a void. */
  readonly credits: number;
  /** The fields of a new hold. */
  readonly hold: { readonly amount: number; readonly seconds: number } | null;
  /** For a capture and for a void, the id of the hold's transaction. */
  readonly transactionId: string;
  readonly transactionType: string;
  readonly apiKeyId: string | null;
  readonly by: Actor;
}

/**
 * Whether two movements with one transaction id are equal, so that the second is a repeated
 * request.
 */
export const isSame = (one: Movement, other: Movement): boolean =>
  one.kind === other.kind &&
  one.hold?.amount === other.hold?.amount &&
  one.hold?.seconds === other.hold?.seconds &&
  isEntryOf(one, other);

/** Whether an entry has the fields that a movement with its transaction id would give it. */
export const isEntryOf = (
  entry: Pick<CreditEntry, 'credits' | 'transactionType' | 'apiKeyId'>,
  movement: Movement,
): boolean =>
  entry.credits === movement.credits &&
  entry.transactionType === movement.transactionType &&
  entry.apiKeyId === movement.apiKeyId;

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
  actorAccount: row.actorAccount,
});

/** Whether a movement may leave this balance and these held credits: the only guard of both. */
const isAllowed = (balance: Sql, held: Sql): Sql => sql`${balance} BETWEEN ${held} AND 9007199254740991`;

/** An instant later than any earlier change of the user, however fast changes follow each other. */
const LATER = raw(`greatest(clock_timestamp(), updated_at + interval '1 ms')`);

/** A movement, and its position among those of its account in the statement, from 1. */
export interface PlacedMovement extends Movement {
  readonly place: number;
}

export const MOVEMENTS = new Rows<PlacedMovement>({
  user_id: ['uuid', ({ userId }) => userId],
  place: ['int', ({ place }) => place],
  kind: ['text', ({ kind }) => kind],
  credits: ['bigint', ({ credits }) => credits],
  hold_amount: ['bigint', ({ hold }) => hold?.amount],
  hold_seconds: ['int', ({ hold }) => hold?.seconds],
  transaction_id: ['text', ({ transactionId }) => transactionId],
  transaction_type: ['text', ({ transactionType }) => transactionType],
  api_key_id: ['uuid', ({ apiKeyId }) => apiKeyId],
  ...actorRows<PlacedMovement>(({ by }) => by),
});

/** The account, in each of its rows. An account without a row does not exist, or is locked. */
interface AccountRow {
  readonly accountId: string;
  /** The expected number of new entries and changed holds. */
  readonly changes: number;
  /**
   * Whether the account was changed after the statement had begun. Entries that were committed
   * meanwhile may then be missing.
   */
  readonly stale: boolean;
  /**
   * Whether nothing was moved, because expired holds must be released first, or because holds may
   * have changed after the statement had begun.
   */
  readonly undecided: boolean;
  /** The balance after all movements. */
  readonly balance: string;
  readonly held: string;
}

/**
 * One row for each entry and each hold of the movements, new or earlier, and one with nulls if
 * there is none. An ended hold may have two rows: before and after.
 */
export type MovedRow = AccountRow &
  (
    | ({ readonly table: 'credit_entries'; readonly replayed: boolean } & EntryRow)
    | ({ readonly table: 'credit_holds'; readonly replayed: boolean } & HoldRow)
    | { readonly table: null }
  );

/** A version 7 UUID for an instant, with the position in the 12 bits after the version. */
const idAt = (at: Sql): Sql =>
  sql`(lpad(to_hex(round(date_part('epoch', ${at}) * 1000)::bigint), 12, '0') || to_hex(28672 + place)
              || substr(gen_random_uuid()::text, 20))::uuid`;

/** The columns that only entries, or only holds, have. */
const OF_ENTRIES = { credits: 'bigint', balanceAfter: 'bigint' } as const;
const OF_HOLDS = {
  amount: 'bigint',
  captured: 'bigint',
  status: 'text',
  expiresAt: 'timestamptz',
  settledAt: 'timestamptz',
} as const;
const OF_BOTH = Object.keys(COLUMNS).filter((property) => !(property in OF_ENTRIES));

const listed = (properties: readonly string[]): Sql => raw(properties.map((property) => `"${property}"`).join(', '));
const nulls = (columns: Readonly<Record<string, string>>): Sql =>
  raw(
    Object.entries(columns)
      .map(([property, type]) => `NULL::${type} AS "${property}"`)
      .join(', '),
  );

/** An entry and a hold with the same columns. */
export const ENTRY = sql`${listed([...OF_BOTH, ...Object.keys(OF_ENTRIES)])}, ${nulls(OF_HOLDS)}`;
export const HOLD = sql`${listed(OF_BOTH)}, ${nulls(OF_ENTRIES)}, ${listed(Object.keys(OF_HOLDS))}`;

/**
 * Moves balances and held credits, and writes an entry or a hold for each movement: any number of
 * accounts, and several movements of each, which are applied in the order of their positions. Each
 * has a different transaction id.
 *
 * - `request`: the movements, each with the entry and the hold that already have its transaction
 *   id, if any. With `BETWEEN … ORDER BY` only one index has the order. With `=`, two indexes cost
 *   the same on a small table, and the generic plan might then read all entries of a user.
 * - `locked`: the accounts, locked in the order of their ids. Every change of a hold locks its
 *   account first, and updates the row of the account. So if that row is unchanged since the
 *   snapshot of the statement, the holds are as well.
 * - `account`: leaves an account undecided, and moves nothing of it, if its row has changed and
 *   holds might matter, or if it has expired holds that must be released first.
 * - `movement`: the amounts that each movement adds to the balance and to the held credits: 0 if
 *   its transaction id has an entry, or a hold that does not allow it.
 * - `walk`: a row for each movement. A movement that is not allowed changes nothing, and the next
 *   one starts from the same balance.
 * - `moved`: updates each account once. A change of held credits alone raises neither the version
 *   nor `updated_at`.
 * - `inserted`, `opened` and `settled`: write the entries and the holds. Entries share the
 *   `updated_at` of the account, so their ids, version 7 UUIDs (28672 is 0x7000), contain the
 *   position in the 12 bits after the version: (created_at, id) is the order of the movements.
 *
 * Fails on `uq_credit_entries_user_id_transaction_id`, and then moves nothing, if an entry with the
 * same transaction id was committed after the statement had begun.
 *
 * @param locked how to treat accounts that other transactions have locked: wait, or skip them
 */
const moveAll = (locked: Sql): Sql =>
  sql`WITH RECURSIVE request AS MATERIALIZED (
    SELECT request.*, earlier.id AS earlier_id, hold.id AS hold_id, hold.amount AS held, hold.status
      FROM ${MOVEMENTS.prepared('request')}
      LEFT JOIN LATERAL (SELECT id
                           FROM credit_entries
                          WHERE user_id = request.user_id
                            AND transaction_id BETWEEN request.transaction_id AND request.transaction_id
                          ORDER BY transaction_id
                          LIMIT 1) AS earlier ON true
      LEFT JOIN LATERAL (SELECT id, amount, status
                           FROM credit_holds
                          WHERE user_id = request.user_id
                            AND transaction_id BETWEEN request.transaction_id AND request.transaction_id
                          ORDER BY transaction_id
                          LIMIT 1) AS hold ON true),
  locked AS (
    SELECT id, ctid, version, credits_balance, credits_held, updated_at
      FROM users
     WHERE id = ANY (ARRAY(SELECT user_id FROM request))
     ORDER BY id
       FOR NO KEY UPDATE ${locked}),
  account AS MATERIALIZED (
    SELECT locked.*, ${LATER}::timestamptz(3) AS at, date_trunc('milliseconds', clock_timestamp()) AS now, is_stale,
           is_stale AND (locked.credits_held > 0 OR seen.credits_held > 0
                         OR id IN (SELECT user_id FROM request WHERE kind <> 'move'))
             OR CASE WHEN seen.credits_held > 0 THEN EXISTS (SELECT FROM credit_holds
                                                              WHERE user_id = locked.id AND status = 'OPEN'
                                                                AND expires_at <= clock_timestamp())
                     ELSE false END AS is_undecided
      FROM locked,
           LATERAL (SELECT ctid, credits_held FROM users WHERE id = locked.id LIMIT 1) AS seen,
           LATERAL (SELECT locked.ctid <> seen.ctid AS is_stale) AS comparison),
  movement AS (
    SELECT user_id, place,
           CASE WHEN is_due THEN credits ELSE 0 END AS credits,
           CASE WHEN NOT is_due THEN 0 WHEN kind = 'hold' THEN hold_amount WHEN kind IN ('capture', 'void') THEN -held ELSE 0 END AS held
      FROM request
      JOIN account ON account.id = user_id,
           LATERAL (SELECT earlier_id IS NULL AND NOT is_undecided
                             AND CASE kind WHEN 'move' THEN status IS DISTINCT FROM 'OPEN'
                                           WHEN 'hold' THEN hold_id IS NULL
                                           ELSE status = 'OPEN' AND -credits <= held END AS is_due) AS decision),
  opening AS (
    SELECT user_id, credits_balance AS balance, credits_held AS held, version, credits, holds
      FROM account
      JOIN (SELECT user_id, array_agg(credits ORDER BY place) AS credits, array_agg(held ORDER BY place) AS holds
              FROM movement
             GROUP BY user_id) AS movements ON user_id = id),
  walk (user_id, credits, holds, place, balance, held, version, changes, is_allowed) AS (
    SELECT user_id, credits, holds, 0, balance, held, version, 0, false FROM opening
    UNION ALL
    SELECT user_id, credits, holds, place + 1,
           CASE WHEN next.is_allowed THEN balance + credits[place + 1] ELSE balance END,
           CASE WHEN next.is_allowed THEN held + holds[place + 1] ELSE held END,
           version + (next.is_allowed AND credits[place + 1] <> 0)::int,
           changes + next.is_allowed::int,
           next.is_allowed
      FROM walk,
           LATERAL (SELECT (credits[place + 1] <> 0 OR holds[place + 1] <> 0)
                             AND ${isAllowed(sql`balance + credits[place + 1]`, sql`held + holds[place + 1]`)} AS is_allowed) AS next
     WHERE place < cardinality(credits)),
  closing AS (
    SELECT user_id, balance, held, version, changes FROM walk WHERE place = cardinality(credits)),
  moved AS (
    UPDATE users
       SET credits_balance = closing.balance,
           credits_held = closing.held,
           version = closing.version,
           updated_at = CASE WHEN closing.version > account.version THEN account.at ELSE account.updated_at END
      FROM closing
      JOIN account ON account.id = closing.user_id
     WHERE users.id = closing.user_id AND closing.changes > 0
    RETURNING users.id, account.at, account.now),
  applied AS MATERIALIZED (
    SELECT request.*, moved.at, moved.now, walk.balance
      FROM walk
      JOIN moved ON moved.id = user_id
      JOIN request USING (user_id, place)
     WHERE is_allowed),
  inserted AS (
    INSERT INTO credit_entries (id, created_at, user_id, credits, balance_after, transaction_id, transaction_type, api_key_id,
                                ${actorColumnNames})
    SELECT ${idAt(sql`at`)},
           at, user_id, credits, balance, transaction_id, transaction_type, api_key_id, ${actorColumnNames}
      FROM applied
     WHERE credits <> 0
    RETURNING ${SELECTED_ENTRY}),
  opened AS (
    INSERT INTO credit_holds (id, created_at, user_id, amount, expires_at, transaction_id, transaction_type, api_key_id,
                              ${actorColumnNames})
    SELECT ${idAt(sql`now`)},
           now, user_id, hold_amount, now + make_interval(secs => hold_seconds), transaction_id, transaction_type, api_key_id,
           ${actorColumnNames}
      FROM applied
     WHERE kind = 'hold'
    RETURNING *),
  settled AS (
    UPDATE credit_holds
       SET status = CASE kind WHEN 'capture' THEN 'CAPTURED' ELSE 'VOIDED' END,
           settled_at = now,
           captured = CASE kind WHEN 'capture' THEN -credits END
      FROM applied
     WHERE credit_holds.id = hold_id AND credit_holds.status = 'OPEN' AND kind IN ('capture', 'void')
    RETURNING credit_holds.*)
  SELECT account.id AS "accountId", closing.changes, account.is_stale AS stale, account.is_undecided AS undecided,
         closing.balance, closing.held,
         made.*
    FROM account
    JOIN closing ON closing.user_id = account.id
    LEFT JOIN (SELECT 'credit_entries' AS "table", false AS replayed, ${ENTRY} FROM inserted
               UNION ALL
               SELECT 'credit_entries', true, ${ENTRY}
                 FROM (SELECT ${SELECTED_ENTRY}
                         FROM request, LATERAL (SELECT * FROM credit_entries WHERE id = earlier_id LIMIT 1) AS credit_entries
                        WHERE earlier_id IS NOT NULL) AS earlier
               UNION ALL
               SELECT 'credit_holds', replayed, ${HOLD}
                 FROM (SELECT ${SELECTED_HOLD}, replayed
                         FROM (SELECT *, false AS replayed FROM opened
                               UNION ALL
                               SELECT *, false FROM settled
                               UNION ALL
                               SELECT credit_holds.*, true
                                 FROM request, LATERAL (SELECT * FROM credit_holds WHERE id = hold_id LIMIT 1) AS credit_holds
                                WHERE hold_id IS NOT NULL) AS credit_holds) AS hold) AS made ON made."userId" = account.id`;

export const MOVE = new Statement<MovedRow>('move_credits', moveAll(empty));
export const MOVE_UNLOCKED = new Statement<MovedRow>('move_unlocked_credits', moveAll(sql`SKIP LOCKED`));
