-- prepared: find_secrets, see getMe.sql

SELECT api_keys.id, api_keys.created_at AS "createdAt", api_keys.last_used_at AS "lastUsedAt",
           api_keys.expires_at AS "expiresAt", api_keys.name, api_keys.prefix, api_keys.scopes,
           api_keys.rate_limit_per_minute AS "rateLimitPerMinute",
           CASE WHEN api_keys.revoked_at IS NOT NULL THEN 'REVOKED'
                WHEN api_keys.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status
  FROM ((SELECT * FROM api_keys WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2::bigint + $3::bigint)) AS api_keys
 ORDER BY created_at DESC, id DESC
 LIMIT $4 OFFSET $5;
