-- prepared: find_secrets, see getMe.sql

WITH changed AS (
    UPDATE api_keys
       SET name = coalesce($1, target.name),
           expires_at = coalesce($2, target.expires_at),
           scopes = target.scopes,
           rate_limit_per_minute = target.rate_limit_per_minute
      FROM (SELECT k.*
              FROM users AS u
              JOIN api_keys AS k ON k.user_id = u.id
             WHERE u.id = $3 AND k.name = $4
               FOR NO KEY UPDATE OF u
               FOR UPDATE OF k) AS target
     WHERE api_keys.id = target.id
       AND ($5::timestamptz IS NULL
            OR ($6::timestamptz > clock_timestamp() AND target.expires_at > clock_timestamp() AND target.revoked_at IS NULL))
       AND true
       AND true
    RETURNING api_keys.id, api_keys.created_at AS "createdAt", api_keys.last_used_at AS "lastUsedAt",
           api_keys.expires_at AS "expiresAt", api_keys.name, api_keys.prefix, api_keys.scopes,
           api_keys.rate_limit_per_minute AS "rateLimitPerMinute",
           CASE WHEN api_keys.revoked_at IS NOT NULL THEN 'REVOKED'
                WHEN api_keys.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status, api_keys.user_id AS audit_user_id, api_keys.id AS audit_api_key_id,
              CASE WHEN target.name IS DISTINCT FROM api_keys.name THEN jsonb_build_object('name', jsonb_build_object('before', target.name, 'after', api_keys.name)) ELSE '{}' END
        || CASE WHEN to_char(target.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') IS DISTINCT FROM to_char(api_keys.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') THEN jsonb_build_object('expires_at', jsonb_build_object('before', to_char(target.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'after', to_char(api_keys.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))) ELSE '{}' END
        || CASE WHEN coalesce(to_jsonb(target.scopes), '"*"') IS DISTINCT FROM coalesce(to_jsonb(api_keys.scopes), '"*"') THEN jsonb_build_object('scopes', jsonb_build_object('before', coalesce(to_jsonb(target.scopes), '"*"'), 'after', coalesce(to_jsonb(api_keys.scopes), '"*"'))) ELSE '{}' END
        || CASE WHEN target.rate_limit_per_minute IS DISTINCT FROM api_keys.rate_limit_per_minute THEN jsonb_build_object('rate_limit_per_minute', jsonb_build_object('before', target.rate_limit_per_minute, 'after', api_keys.rate_limit_per_minute)) ELSE '{}' END AS audit_changes),
  audited AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT clock_timestamp(), 'api_key.updated', audit_user_id, audit_api_key_id, audit_changes, $7, $8::uuid, $9::uuid, $10, $11
      FROM changed
     WHERE audit_changes <> '{}')
  SELECT * FROM changed;
