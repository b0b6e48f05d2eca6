SELECT DISTINCT user_id AS id
  FROM credit_holds
 WHERE status = 'OPEN' AND expires_at <= statement_timestamp() AND ($1::uuid IS NULL OR user_id > $2)
 ORDER BY user_id
 LIMIT 100;

WITH account AS (
    SELECT id FROM users WHERE id IN (SELECT unnest($1::uuid[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED),
  expired AS (
    SELECT hold.id
      FROM account,
           LATERAL (SELECT id
                      FROM credit_holds
                     WHERE user_id = account.id AND status = 'OPEN' AND expires_at <= clock_timestamp()
                     ORDER BY expires_at, id
                     LIMIT 500
                       FOR NO KEY UPDATE) AS hold
     LIMIT 500),
  ended AS (
    UPDATE credit_holds
       SET status = 'EXPIRED', settled_at = expires_at
      FROM expired
     WHERE credit_holds.id = expired.id
    RETURNING user_id, amount),
  released AS (
    UPDATE users
       SET credits_held = credits_held - total.amount
      FROM (SELECT user_id, sum(amount) AS amount, count(*)::int AS holds FROM ended GROUP BY user_id) AS total
     WHERE users.id = total.user_id
    RETURNING users.id, total.holds)
  SELECT id, holds FROM released;
