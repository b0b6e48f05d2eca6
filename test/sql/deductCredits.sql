-- prepared: find_secrets, see getMe.sql

-- prepared: move_unlocked_credits
WITH RECURSIVE request AS MATERIALIZED (
    SELECT request.*, earlier.id AS earlier_id
      FROM unnest((SELECT $1::uuid[]), (SELECT $2::int[]), (SELECT $3::bigint[]), (SELECT $4::text[]), (SELECT $5::text[]), (SELECT $6::uuid[]), (SELECT $7::text[]), (SELECT $8::uuid[]), (SELECT $9::uuid[]), (SELECT $10::text[]), (SELECT $11::text[])) AS request (user_id, place, credits, transaction_id, transaction_type, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account)
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
       FOR NO KEY UPDATE SKIP LOCKED),
  opening AS (
    SELECT user_id, credits_balance AS balance, version, greatest(clock_timestamp(), updated_at + interval '1 ms')::timestamptz(3) AS at, credits
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
           LATERAL (SELECT credits[place + 1] <> 0 AND balance + credits[place + 1] BETWEEN 0 AND 9007199254740991 AS is_allowed) AS next
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
    INSERT INTO credit_entries (id, created_at, user_id, credits, balance_after, transaction_id, transaction_type, api_key_id,
                              actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT (lpad(to_hex(round(date_part('epoch', at) * 1000)::bigint), 12, '0') || to_hex(28672 + place)
              || substr(gen_random_uuid()::text, 20))::uuid,
           at, user_id, request.credits, balance, transaction_id, transaction_type, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account
      FROM walk
      JOIN moved ON moved.id = user_id
      JOIN request USING (user_id, place)
     WHERE is_allowed
    RETURNING credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount")
  SELECT account.id AS "accountId", (closing.version - account.version)::int AS moves,
         account.version <> (SELECT version FROM users WHERE id = account.id) AS stale, entry.*
    FROM account
    JOIN closing ON closing.user_id = account.id
    LEFT JOIN (SELECT *, false AS replayed
                 FROM inserted
               UNION ALL
               SELECT credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount", true
                 FROM request, LATERAL (SELECT * FROM credit_entries WHERE id = earlier_id LIMIT 1) AS credit_entries
                WHERE earlier_id IS NOT NULL) AS entry ON entry."userId" = account.id;
