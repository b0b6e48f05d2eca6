-- prepared: move_unlocked_credits, see addCredits.sql

-- prepared: move_credits
WITH RECURSIVE request AS MATERIALIZED (
    SELECT request.*, earlier.id AS earlier_id, hold.id AS hold_id, hold.amount AS held, hold.status
      FROM unnest((SELECT $1::uuid[]), (SELECT $2::int[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::bigint[]), (SELECT $6::int[]), (SELECT $7::text[]), (SELECT $8::text[]), (SELECT $9::uuid[]), (SELECT $10::text[]), (SELECT $11::uuid[]), (SELECT $12::uuid[]), (SELECT $13::text[]), (SELECT $14::text[])) AS request (user_id, place, kind, credits, hold_amount, hold_seconds, transaction_id, transaction_type, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account)
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
       FOR NO KEY UPDATE ),
  account AS MATERIALIZED (
    SELECT locked.*, greatest(clock_timestamp(), updated_at + interval '1 ms')::timestamptz(3) AS at, date_trunc('milliseconds', clock_timestamp()) AS now, is_stale,
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
                             AND balance + credits[place + 1] BETWEEN held + holds[place + 1] AND 9007199254740991 AS is_allowed) AS next
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
                                actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT (lpad(to_hex(round(date_part('epoch', at) * 1000)::bigint), 12, '0') || to_hex(28672 + place)
              || substr(gen_random_uuid()::text, 20))::uuid,
           at, user_id, credits, balance, transaction_id, transaction_type, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account
      FROM applied
     WHERE credits <> 0
    RETURNING credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount"),
  opened AS (
    INSERT INTO credit_holds (id, created_at, user_id, amount, expires_at, transaction_id, transaction_type, api_key_id,
                              actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT (lpad(to_hex(round(date_part('epoch', now) * 1000)::bigint), 12, '0') || to_hex(28672 + place)
              || substr(gen_random_uuid()::text, 20))::uuid,
           now, user_id, hold_amount, now + make_interval(secs => hold_seconds), transaction_id, transaction_type, api_key_id,
           actor, actor_user_id, actor_key_id, request_id, actor_account
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
    LEFT JOIN (SELECT 'credit_entries' AS "table", false AS replayed, "id", "createdAt", "userId", "transactionId", "transactionType", "apiKeyId", "actor", "actorUserId", "actorKeyId", "requestId", "actorAccount", "credits", "balanceAfter", NULL::bigint AS "amount", NULL::bigint AS "captured", NULL::text AS "status", NULL::timestamptz AS "expiresAt", NULL::timestamptz AS "settledAt" FROM inserted
               UNION ALL
               SELECT 'credit_entries', true, "id", "createdAt", "userId", "transactionId", "transactionType", "apiKeyId", "actor", "actorUserId", "actorKeyId", "requestId", "actorAccount", "credits", "balanceAfter", NULL::bigint AS "amount", NULL::bigint AS "captured", NULL::text AS "status", NULL::timestamptz AS "expiresAt", NULL::timestamptz AS "settledAt"
                 FROM (SELECT credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount"
                         FROM request, LATERAL (SELECT * FROM credit_entries WHERE id = earlier_id LIMIT 1) AS credit_entries
                        WHERE earlier_id IS NOT NULL) AS earlier
               UNION ALL
               SELECT 'credit_holds', replayed, "id", "createdAt", "userId", "transactionId", "transactionType", "apiKeyId", "actor", "actorUserId", "actorKeyId", "requestId", "actorAccount", NULL::bigint AS "credits", NULL::bigint AS "balanceAfter", "amount", "captured", "status", "expiresAt", "settledAt"
                 FROM (SELECT credit_holds.id, credit_holds.created_at AS "createdAt", credit_holds.user_id AS "userId", credit_holds.amount, credit_holds.expires_at AS "expiresAt", credit_holds.captured, credit_holds.transaction_id AS "transactionId", credit_holds.transaction_type AS "transactionType", credit_holds.api_key_id AS "apiKeyId", credit_holds.actor, credit_holds.actor_user_id AS "actorUserId", credit_holds.actor_key_id AS "actorKeyId", credit_holds.request_id AS "requestId", credit_holds.actor_account AS "actorAccount",
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE credit_holds.status END AS status,
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN credit_holds.expires_at ELSE credit_holds.settled_at END AS "settledAt", replayed
                         FROM (SELECT *, false AS replayed FROM opened
                               UNION ALL
                               SELECT *, false FROM settled
                               UNION ALL
                               SELECT credit_holds.*, true
                                 FROM request, LATERAL (SELECT * FROM credit_holds WHERE id = hold_id LIMIT 1) AS credit_holds
                                WHERE hold_id IS NOT NULL) AS credit_holds) AS hold) AS made ON made."userId" = account.id;

START TRANSACTION;

SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE;

WITH account AS (
    SELECT id FROM users WHERE id IN (SELECT $1::uuid) ORDER BY id FOR NO KEY UPDATE ),
  expired AS (
    SELECT hold.id
      FROM account,
           LATERAL (SELECT id
                      FROM credit_holds
                     WHERE user_id = account.id AND status = 'OPEN' AND expires_at <= clock_timestamp()
                     ORDER BY expires_at, id
                     LIMIT 500
                       FOR NO KEY UPDATE) AS hold
     LIMIT 500),
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
  SELECT id, holds FROM released;

COMMIT;
