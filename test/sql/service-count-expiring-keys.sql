START TRANSACTION;

SET LOCAL statement_timeout = 0; SET LOCAL jit = off;

SELECT count(*) AS keys
  FROM api_keys
 WHERE revoked_at IS NULL
   AND expires_at > statement_timestamp()
   AND expires_at <= statement_timestamp() + interval '30 days'
   AND last_used_at >= statement_timestamp() - interval '30 days';

COMMIT;
