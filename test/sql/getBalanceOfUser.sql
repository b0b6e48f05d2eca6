-- prepared: find_secrets, see getMe.sql

SELECT credits_balance AS balance, CASE WHEN users.credits_held = 0 THEN 0
              ELSE users.credits_held - (SELECT coalesce(sum(amount), 0) FROM credit_holds
                                          WHERE user_id = users.id AND status = 'OPEN' AND expires_at <= statement_timestamp()) END AS held FROM users WHERE id = $1;
