-- prepared: find_secrets, see getMe.sql

SELECT users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
  FROM ((SELECT * FROM users WHERE true AND status = $1 ORDER BY created_at DESC, id DESC LIMIT $2::bigint + $3::bigint)) AS users
 ORDER BY created_at DESC, id DESC
 LIMIT $4 OFFSET $5;

SELECT count(*)::int AS rows FROM (SELECT FROM ((SELECT id FROM users WHERE true AND status = $1 ORDER BY created_at DESC, id DESC LIMIT 10001)) AS users LIMIT 10001) AS found;

SELECT users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
  FROM ((SELECT * FROM users WHERE created_at >= $1 AND is_admin ORDER BY created_at DESC, id DESC LIMIT $2::bigint + $3::bigint)) AS users
 ORDER BY created_at DESC, id DESC
 LIMIT $4 OFFSET $5;
