SELECT reltuples AS users,
       EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('ix_user_search_texts_text') AND indisvalid) AS searchable
  FROM pg_class
 WHERE oid = to_regclass('users');

EXPLAIN (FORMAT JSON) SELECT FROM users WHERE true;

WITH matching AS MATERIALIZED (SELECT * FROM users WHERE true AND fold_case(name || chr(10) || email) LIKE '%' || fold_case($1) || '%')
SELECT counted.total, users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute"
  FROM (SELECT count(*)::int AS total FROM matching) AS counted
  LEFT JOIN (SELECT * FROM matching WHERE true ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3)
    AS users ON true
 ORDER BY created_at DESC, id DESC;
