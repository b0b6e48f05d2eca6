-- prepared: find_secrets, see getMe.sql

-- prepared: find_transactions
SELECT request.digest, request.transaction_id AS "requestedId", k.id AS "keyId", earlier.*
  FROM unnest((SELECT $1::bytea[]), (SELECT $2::text[])) AS request (digest, transaction_id)
  LEFT JOIN LATERAL (SELECT api_key_id FROM superseded_secrets WHERE digest = request.digest LIMIT 1) AS s ON true
  LEFT JOIN LATERAL (SELECT id, user_id FROM api_keys WHERE secret_digest = request.digest
                     UNION ALL
                     SELECT id, user_id FROM api_keys WHERE id = s.api_key_id LIMIT 1) AS k ON true
  LEFT JOIN LATERAL (SELECT 'credit_entries' AS "table", "id", "createdAt", "userId", "transactionId", "transactionType", "apiKeyId", "actor", "actorUserId", "actorKeyId", "requestId", "actorAccount", "credits", "balanceAfter", NULL::bigint AS "amount", NULL::bigint AS "captured", NULL::text AS "status", NULL::timestamptz AS "expiresAt", NULL::timestamptz AS "settledAt"
                       FROM (SELECT credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount"
                              FROM credit_entries
                             WHERE user_id = k.user_id
                               AND transaction_id BETWEEN request.transaction_id AND request.transaction_id
                             ORDER BY transaction_id
                             LIMIT 1) AS entry
                     UNION ALL
                     SELECT 'credit_holds', "id", "createdAt", "userId", "transactionId", "transactionType", "apiKeyId", "actor", "actorUserId", "actorKeyId", "requestId", "actorAccount", NULL::bigint AS "credits", NULL::bigint AS "balanceAfter", "amount", "captured", "status", "expiresAt", "settledAt"
                       FROM (SELECT credit_holds.id, credit_holds.created_at AS "createdAt", credit_holds.user_id AS "userId", credit_holds.amount, credit_holds.expires_at AS "expiresAt", credit_holds.captured, credit_holds.transaction_id AS "transactionId", credit_holds.transaction_type AS "transactionType", credit_holds.api_key_id AS "apiKeyId", credit_holds.actor, credit_holds.actor_user_id AS "actorUserId", credit_holds.actor_key_id AS "actorKeyId", credit_holds.request_id AS "requestId", credit_holds.actor_account AS "actorAccount",
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE credit_holds.status END AS status,
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN credit_holds.expires_at ELSE credit_holds.settled_at END AS "settledAt"
                              FROM credit_holds
                             WHERE user_id = k.user_id
                               AND transaction_id BETWEEN request.transaction_id AND request.transaction_id
                             ORDER BY transaction_id
                             LIMIT 1) AS hold
                      ORDER BY "table"
                      LIMIT 1) AS earlier ON true;

-- prepared: move_unlocked_credits, see addCredits.sql
