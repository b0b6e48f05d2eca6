-- prepared: find_secrets, see getMe.sql

-- prepared: find_users
SELECT request.id AS "requestedId", users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
        FROM unnest((SELECT $1::uuid[])) AS request (id)
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true;

UPDATE api_keys
   SET last_used_at = greatest(api_keys.last_used_at, api_keys.created_at, statement_timestamp() - make_interval(secs => used.age))
  FROM unnest($1::uuid[], $2::float8[]) AS used (id, age),
       LATERAL (SELECT id FROM api_keys WHERE id = used.id FOR NO KEY UPDATE SKIP LOCKED) AS unlocked
 WHERE api_keys.id = unlocked.id;
