-- prepared: find_secrets, see getMe.sql

-- prepared: find_users
SELECT request.id AS "requestedId", users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
        FROM unnest((SELECT $1::uuid[])) AS request (id)
        LEFT JOIN LATERAL (SELECT * FROM users WHERE id = request.id LIMIT 1) AS users ON true;
