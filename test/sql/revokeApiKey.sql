-- prepared: find_secrets, see getMe.sql

WITH changed AS (
    UPDATE api_keys
       SET revoked_at = coalesce(api_keys.revoked_at, statement_timestamp())
      FROM (SELECT id, revoked_at
              FROM api_keys
             WHERE user_id = $1 AND name = $2
               FOR UPDATE) AS target
     WHERE api_keys.id = target.id
    RETURNING api_keys.id, api_keys.created_at AS "createdAt", api_keys.last_used_at AS "lastUsedAt",
           api_keys.expires_at AS "expiresAt", api_keys.name, api_keys.prefix, api_keys.scopes,
           api_keys.rate_limit_per_minute AS "rateLimitPerMinute",
           CASE WHEN api_keys.revoked_at IS NOT NULL THEN 'REVOKED'
                WHEN api_keys.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status, api_keys.user_id AS audit_user_id, api_keys.id AS audit_api_key_id,
              CASE WHEN target.revoked_at IS NULL THEN jsonb_build_object('revoked_at', jsonb_build_object('after', to_char(api_keys.revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))
                   ELSE '{}' END AS audit_changes),
  audited AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT clock_timestamp(), 'api_key.revoked', audit_user_id, audit_api_key_id, audit_changes, $3, $4::uuid, $5::uuid, $6, $7
      FROM changed
     WHERE audit_changes <> '{}')
  SELECT * FROM changed;
