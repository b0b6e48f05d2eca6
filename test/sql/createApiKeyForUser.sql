-- prepared: find_secrets, see getMe.sql

WITH changed AS (
    INSERT INTO api_keys (user_id, name, expires_at, scopes, rate_limit_per_minute, prefix, secret_digest)
    SELECT $1, $2, $3, $4::text[], $5::integer, $6, $7
     WHERE $8::timestamptz > statement_timestamp()
    RETURNING api_keys.id, api_keys.created_at AS "createdAt", api_keys.last_used_at AS "lastUsedAt",
           api_keys.expires_at AS "expiresAt", api_keys.name, api_keys.prefix, api_keys.scopes,
           api_keys.rate_limit_per_minute AS "rateLimitPerMinute",
           CASE WHEN api_keys.revoked_at IS NOT NULL THEN 'REVOKED'
                WHEN api_keys.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status, api_keys.user_id AS audit_user_id, api_keys.id AS audit_api_key_id,
              jsonb_build_object('name', jsonb_build_object('after', name), 'expires_at', jsonb_build_object('after', to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), 'prefix', jsonb_build_object('after', prefix), 'scopes', jsonb_build_object('after', coalesce(to_jsonb(api_keys.scopes), '"*"')), 'rate_limit_per_minute', jsonb_build_object('after', rate_limit_per_minute)) AS audit_changes),
  audited AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT clock_timestamp(), 'api_key.created', audit_user_id, audit_api_key_id, audit_changes, $9, $10::uuid, $11::uuid, $12, $13
      FROM changed
     WHERE audit_changes <> '{}')
  SELECT * FROM changed;
