-- prepared: find_secrets, see getMe.sql

SELECT credit_holds.id, credit_holds.created_at AS "createdAt", credit_holds.user_id AS "userId", credit_holds.amount, credit_holds.expires_at AS "expiresAt", credit_holds.captured, credit_holds.transaction_id AS "transactionId", credit_holds.transaction_type AS "transactionType", credit_holds.api_key_id AS "apiKeyId", credit_holds.actor, credit_holds.actor_user_id AS "actorUserId", credit_holds.actor_key_id AS "actorKeyId", credit_holds.request_id AS "requestId", credit_holds.actor_account AS "actorAccount",
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE credit_holds.status END AS status,
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN credit_holds.expires_at ELSE credit_holds.settled_at END AS "settledAt"
  FROM ((SELECT * FROM credit_holds WHERE user_id = $1 AND (status = 'EXPIRED' OR credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp()) AND status = $2 ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $3::bigint + $4::bigint)
        UNION ALL (SELECT * FROM credit_holds WHERE user_id = $5 AND (status = 'EXPIRED' OR credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp()) AND credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $6::bigint + $7::bigint)) AS credit_holds
 ORDER BY created_at DESC NULLS LAST, id DESC
 LIMIT $8 OFFSET $9;

-- prepared: find_users
SELECT request.id AS "requestedId", users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
        FROM unnest((SELECT $1::uuid[])) AS request (id)
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true;
