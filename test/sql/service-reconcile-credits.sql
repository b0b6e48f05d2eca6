START TRANSACTION;

SET LOCAL jit = off; SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout');

SELECT count(*) AS users FROM users;

COMMIT;

SELECT id
  FROM users
 WHERE $1::uuid IS NULL OR id > $2
 ORDER BY id
OFFSET $3 LIMIT 1;

SELECT 'balance_after' AS kind, user_id AS "userId", id AS "entryId", NULL::uuid AS "holdId", balance_after AS stored, expected
  FROM (SELECT user_id, id, balance_after, sum(credits) OVER (PARTITION BY user_id ORDER BY created_at, id) AS expected
          FROM credit_entries
         WHERE ($1::uuid IS NULL OR user_id > $2) AND ($3::uuid IS NULL OR user_id <= $4)) AS running
 WHERE balance_after <> expected
UNION ALL
SELECT compared.kind, account.id, NULL, NULL, compared.stored, compared.expected
  FROM (SELECT u.id, u.credits_balance, u.credits_held, entries.balance,
               CASE WHEN u.credits_held = 0 THEN 0 ELSE (SELECT coalesce(sum(amount), 0)
                                                           FROM credit_holds
                                                          WHERE user_id = u.id AND status = 'OPEN') END AS held
          FROM users AS u
         CROSS JOIN LATERAL (SELECT coalesce(sum(credits), 0) AS balance FROM credit_entries WHERE user_id = u.id) AS entries
         WHERE ($5::uuid IS NULL OR u.id > $6) AND ($7::uuid IS NULL OR u.id <= $8) AND (u.credits_balance <> entries.balance OR u.credits_held <> 0)) AS account
 CROSS JOIN LATERAL (VALUES ('balance', account.credits_balance, account.balance),
                            ('credits_held', account.credits_held, account.held)) AS compared (kind, stored, expected)
 WHERE compared.stored <> compared.expected
UNION ALL
SELECT 'credits_held', user_id, NULL, NULL, 0, sum(amount)
  FROM credit_holds
 WHERE ($9::uuid IS NULL OR user_id > $10) AND ($11::uuid IS NULL OR user_id <= $12) AND status = 'OPEN'
 GROUP BY user_id
HAVING (SELECT credits_held FROM users WHERE id = user_id) = 0
UNION ALL
SELECT 'hold', hold.user_id, entry.id, hold.id, compared.stored, compared.expected
  FROM credit_holds AS hold
  LEFT JOIN LATERAL (SELECT id, credits
                       FROM credit_entries
                      WHERE user_id = hold.user_id AND transaction_id = hold.transaction_id
                      LIMIT 1) AS entry ON true
 CROSS JOIN LATERAL (SELECT coalesce(entry.credits, 0) AS stored, -coalesce(hold.captured, 0) AS expected) AS compared
 WHERE ($13::uuid IS NULL OR hold.user_id > $14) AND ($15::uuid IS NULL OR hold.user_id <= $16)
   AND (hold.status = 'CAPTURED' OR hold.status = 'OPEN' AND hold.expires_at > clock_timestamp())
   AND compared.stored <> compared.expected
 ORDER BY "userId", kind, "entryId", "holdId";
