-- prepared: find_secrets, see getMe.sql

SELECT credit_entries.id, credit_entries.created_at AS "createdAt", credit_entries.user_id AS "userId", credit_entries.credits, credit_entries.balance_after AS "balanceAfter", credit_entries.transaction_id AS "transactionId", credit_entries.transaction_type AS "transactionType", credit_entries.api_key_id AS "apiKeyId", credit_entries.actor, credit_entries.actor_user_id AS "actorUserId", credit_entries.actor_key_id AS "actorKeyId", credit_entries.request_id AS "requestId"
  FROM ((SELECT * FROM credit_entries WHERE user_id = $1
      AND ($2::date IS NULL OR created_at >= $3::date::timestamp AT TIME ZONE 'UTC')
      AND ($4::date IS NULL OR created_at < ($5::date + 1)::timestamp AT TIME ZONE 'UTC') AND api_key_id = $6 ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $7::bigint + $8::bigint)) AS credit_entries
 ORDER BY created_at DESC NULLS LAST, id DESC
 LIMIT $9 OFFSET $10;

-- prepared: find_users
SELECT request.id AS "requestedId", users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
        FROM unnest((SELECT $1::uuid[])) AS request (id)
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true;
