SELECT users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
  FROM ((SELECT * FROM users WHERE id = ANY (ARRAY(SELECT user_id FROM api_keys WHERE prefix = $1)) AND status = $2 ORDER BY created_at DESC, id DESC LIMIT $3::bigint + $4::bigint)
        UNION ALL (SELECT * FROM users WHERE id = ANY (ARRAY(SELECT user_id FROM api_keys WHERE prefix = $5)) AND status = $6 ORDER BY created_at DESC, id DESC LIMIT $7::bigint + $8::bigint)) AS users
 ORDER BY created_at DESC, id DESC
 LIMIT $9 OFFSET $10;
