START TRANSACTION;

SET LOCAL jit = off; SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout');

SELECT count(*) AS keys
  FROM api_keys
 WHERE revoked_at IS NULL
   AND expires_at > statement_timestamp()
   AND expires_at <= statement_timestamp() + interval '30 days'
   AND last_used_at >= statement_timestamp() - interval '30 days';

COMMIT;
