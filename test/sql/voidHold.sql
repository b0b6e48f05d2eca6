-- prepared: find_secrets, see getMe.sql

-- prepared: find_holds
SELECT request.id AS "requestedId", credit_holds.id, credit_holds.created_at AS "createdAt", credit_holds.user_id AS "userId", credit_holds.amount, credit_holds.expires_at AS "expiresAt", credit_holds.captured, credit_holds.transaction_id AS "transactionId", credit_holds.transaction_type AS "transactionType", credit_holds.api_key_id AS "apiKeyId", credit_holds.actor, credit_holds.actor_user_id AS "actorUserId", credit_holds.actor_key_id AS "actorKeyId", credit_holds.request_id AS "requestId", credit_holds.actor_account AS "actorAccount",
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE credit_holds.status END AS status,
         CASE WHEN credit_holds.status = 'OPEN' AND credit_holds.expires_at <= statement_timestamp() THEN credit_holds.expires_at ELSE credit_holds.settled_at END AS "settledAt"
        FROM unnest((SELECT $1::uuid[])) AS request (id)
        LEFT JOIN LATERAL (SELECT * FROM credit_holds WHERE id = request.id LIMIT 1) AS credit_holds ON true;

-- prepared: move_unlocked_credits, see addCredits.sql
