-- prepared: find_secrets
SELECT coalesce(s.digest, k.secret_digest, request.digest) AS digest, refusal,
       CASE WHEN refusal IS NULL THEN k.id END AS "keyId",
       CASE WHEN refusal IS NULL THEN k.name END AS "keyName",
       CASE WHEN refusal IS NULL THEN k.user_id END AS "userId",
       CASE WHEN refusal IS NULL THEN u.is_admin END AS "isAdmin",
       CASE WHEN refusal IS NULL THEN k.scopes END AS "scopes",
       CASE WHEN refusal IS NULL THEN k.expires_at END AS "expiresAt",
       CASE WHEN refusal IS NULL THEN u.credits_balance - CASE WHEN u.credits_held = 0 THEN 0
              ELSE u.credits_held - (SELECT coalesce(sum(amount), 0) FROM credit_holds
                                          WHERE user_id = u.id AND status = 'OPEN' AND expires_at <= statement_timestamp()) END END AS "creditsAvailable",
       CASE WHEN refusal IS NULL THEN s.superseded_at END AS "supersededAt",
       CASE WHEN refusal IS NULL THEN CASE WHEN s.digest IS NOT NULL THEN least(s.expires_at, k.expires_at) END END AS "supersededUntil",
       CASE WHEN refusal IS NULL THEN k.rate_limit_per_minute END AS "keyRateLimitPerMinute",
       CASE WHEN refusal IS NULL THEN u.rate_limit_per_minute END AS "userRateLimitPerMinute"
  FROM unnest((SELECT $1::bytea[])) AS request (digest)
  LEFT JOIN LATERAL (SELECT * FROM superseded_secrets WHERE digest = request.digest LIMIT 1) AS s ON true
  LEFT JOIN LATERAL (SELECT * FROM api_keys WHERE secret_digest = request.digest
                     UNION ALL
                     SELECT * FROM api_keys WHERE id = s.api_key_id LIMIT 1) AS k ON true
  LEFT JOIN LATERAL (SELECT * FROM users WHERE id = coalesce(k.user_id, '00000000-0000-0000-0000-000000000000') LIMIT 1) AS u ON true
 CROSS JOIN LATERAL (SELECT CASE WHEN k.id IS NULL THEN 'unknown'
                                 WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                                 WHEN k.expires_at <= statement_timestamp() THEN 'expired'
                                 WHEN s.expires_at <= statement_timestamp() THEN 'superseded'
                                 WHEN u.status = 'ACTIVE' THEN NULL ELSE 'user_inactive' END AS refusal) AS verdict;

-- prepared: find_users
SELECT request.id AS "requestedId", users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
        FROM unnest((SELECT $1::uuid[])) AS request (id)
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true;
