-- prepared: find_secrets, see getMe.sql

SELECT credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount"
  FROM ((SELECT * FROM credit_entries WHERE user_id = $1 AND api_key_id = $2 ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $3::bigint + $4::bigint)) AS credit_entries
 ORDER BY created_at DESC NULLS LAST, id DESC
 LIMIT $5 OFFSET $6;

-- prepared: find_users
SELECT request.id AS "requestedId", users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
        FROM unnest((SELECT $1::uuid[])) AS request (id)
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true;

SELECT credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount"
  FROM ((SELECT * FROM credit_entries WHERE user_id = $1 AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC' AND transaction_type = $3 ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $4::bigint + $5::bigint)) AS credit_entries
 ORDER BY created_at DESC NULLS LAST, id DESC
 LIMIT $6 OFFSET $7;

SELECT credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId", credit_entries.actor_account AS "actorAccount"
  FROM ((SELECT * FROM credit_entries WHERE user_id = $1 AND transaction_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3::bigint + $4::bigint)) AS credit_entries
 ORDER BY created_at DESC, id DESC
 LIMIT $5 OFFSET $6;
