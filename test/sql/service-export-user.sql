START TRANSACTION;

SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

SET TRANSACTION READ ONLY;

SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout');

SELECT id, created_at, updated_at, status, is_admin, name, email, rate_limit_per_minute, version::float8 AS version, credits_balance::float8 AS credits_balance, (CASE WHEN users.credits_held = 0 THEN 0
              ELSE users.credits_held - (SELECT coalesce(sum(amount), 0) FROM credit_holds
                                          WHERE user_id = users.id AND status = 'OPEN' AND expires_at <= statement_timestamp()) END)::float8 AS credits_held FROM users WHERE id = $1 ORDER BY id;

SELECT now();

DECLARE exported NO SCROLL CURSOR FOR SELECT id, user_id, created_at, last_used_at, expires_at, revoked_at, name, prefix, scopes, rate_limit_per_minute FROM api_keys WHERE user_id = $1 ORDER BY created_at, id;

FETCH 1000 FROM exported;

CLOSE exported;

DECLARE exported NO SCROLL CURSOR FOR SELECT api_key_id, superseded_at, greatest(expires_at, superseded_at) AS expires_at FROM superseded_secrets WHERE api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1) ORDER BY superseded_at, api_key_id;

DECLARE exported NO SCROLL CURSOR FOR SELECT id, created_at, user_id, transaction_id, transaction_type, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account, credits::float8 AS credits, balance_after::float8 AS balance_after FROM credit_entries WHERE user_id = $1 ORDER BY created_at, id;

DECLARE exported NO SCROLL CURSOR FOR SELECT id, created_at, user_id, transaction_type, actor, actor_user_id, actor_key_id, request_id, actor_account FROM credit_entries WHERE actor_user_id = $1 AND user_id <> $1 ORDER BY created_at, id;

DECLARE exported NO SCROLL CURSOR FOR SELECT id, created_at, user_id, expires_at, transaction_id, transaction_type, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account, amount::float8 AS amount, captured::float8 AS captured, CASE WHEN status = 'OPEN' AND expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE status END AS status, CASE WHEN status = 'OPEN' AND expires_at <= statement_timestamp() THEN expires_at ELSE settled_at END AS settled_at FROM credit_holds WHERE user_id = $1 ORDER BY created_at, id;

DECLARE exported NO SCROLL CURSOR FOR SELECT id, created_at, user_id, transaction_type, actor, actor_user_id, actor_key_id, request_id, actor_account FROM credit_holds WHERE actor_user_id = $1 AND user_id <> $1 ORDER BY created_at, id;

DECLARE exported NO SCROLL CURSOR FOR SELECT id, created_at, action, user_id, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account, changes FROM audit_events WHERE user_id = $1 ORDER BY created_at, id;

DECLARE exported NO SCROLL CURSOR FOR SELECT id, created_at, action, user_id, api_key_id, actor, actor_user_id, actor_key_id, request_id, actor_account, ARRAY(SELECT jsonb_object_keys(changes) ORDER BY 1) AS changed FROM audit_events WHERE actor_user_id = $1 AND (action <> 'user.updated' OR user_id <> actor_user_id) AND user_id IS DISTINCT FROM $1 ORDER BY created_at, id;

ROLLBACK;
