START TRANSACTION;

SET LOCAL statement_timeout = 0;

SELECT count(*) AS users FROM users;

COMMIT;

SELECT id
  FROM users
 WHERE $1::uuid IS NULL OR id > $2
 ORDER BY id
OFFSET $3 LIMIT 1;

SELECT user_id AS "userId", id AS "entryId", balance_after AS stored, expected
  FROM (SELECT user_id, id, balance_after, sum(credits) OVER (PARTITION BY user_id ORDER BY created_at, id) AS expected
          FROM credit_entries
         WHERE ($1::uuid IS NULL OR user_id > $2) AND ($3::uuid IS NULL OR user_id <= $4)) AS running
 WHERE balance_after <> expected
UNION ALL
SELECT u.id, NULL, u.credits_balance, s.expected
  FROM users AS u
 CROSS JOIN LATERAL (SELECT coalesce(sum(credits), 0) AS expected FROM credit_entries WHERE user_id = u.id) AS s
 WHERE ($5::uuid IS NULL OR u.id > $6) AND ($7::uuid IS NULL OR u.id <= $8)
   AND u.credits_balance <> s.expected
 ORDER BY 1, 2;
