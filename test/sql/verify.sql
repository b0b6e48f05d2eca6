-- prepared: find_secrets, see getMe.sql

-- prepared: find_charges
SELECT request.digest, request.transaction_id AS "requestedId", k.id AS "keyId", credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId"
  FROM unnest((SELECT $1::bytea[]), (SELECT $2::text[])) AS request (digest, transaction_id)
  LEFT JOIN LATERAL (SELECT api_key_id FROM superseded_secrets WHERE digest = request.digest LIMIT 1) AS s ON true
  LEFT JOIN LATERAL (SELECT id, user_id FROM api_keys WHERE secret_digest = request.digest
                     UNION ALL
                     SELECT id, user_id FROM api_keys WHERE id = s.api_key_id LIMIT 1) AS k ON true
  LEFT JOIN LATERAL (SELECT * FROM credit_entries
                      WHERE user_id = k.user_id AND transaction_id = request.transaction_id LIMIT 1) AS credit_entries ON true;

WITH moved AS (
    UPDATE users
       SET credits_balance = credits_balance + $1::bigint,
           version = version + 1,
           updated_at = greatest(clock_timestamp(), updated_at + interval '1 ms')
     WHERE id = $2 AND credits_balance + $3::bigint BETWEEN 0 AND 9007199254740991
    RETURNING id, credits_balance, updated_at)
  INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, api_key_id,
                              actor, actor_user_id, actor_key_id, request_id)
  SELECT updated_at, id, $4, credits_balance, $5, $6, $7, $8, $9::uuid, $10::uuid, $11
    FROM moved
  RETURNING credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId";
