-- prepared: find_secrets, see getMe.sql

START TRANSACTION;

SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE;

WITH changed AS (
    UPDATE api_keys
       SET secret_digest = $1, prefix = $2, expires_at = $3
      FROM (SELECT k.*
              FROM users AS u
              JOIN api_keys AS k ON k.user_id = u.id
             WHERE u.id = $4 AND k.name = $5
               FOR NO KEY UPDATE OF u
               FOR UPDATE OF k) AS target
     WHERE api_keys.id = target.id
       AND target.revoked_at IS NULL
       AND target.expires_at > clock_timestamp()
       AND $6::timestamptz > clock_timestamp()
       AND true
    RETURNING api_keys.id, api_keys.created_at AS "createdAt", api_keys.last_used_at AS "lastUsedAt",
           api_keys.expires_at AS "expiresAt", api_keys.name, api_keys.prefix, api_keys.scopes,
           api_keys.rate_limit_per_minute AS "rateLimitPerMinute",
           CASE WHEN api_keys.revoked_at IS NOT NULL THEN 'REVOKED'
                WHEN api_keys.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status, api_keys.user_id AS audit_user_id, api_keys.id AS audit_api_key_id, target.secret_digest AS old_digest, target.expires_at AS old_expires_at,
              CASE WHEN target.prefix IS DISTINCT FROM api_keys.prefix THEN jsonb_build_object('prefix', jsonb_build_object('before', target.prefix, 'after', api_keys.prefix)) ELSE '{}' END
        || CASE WHEN to_char(target.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') IS DISTINCT FROM to_char(api_keys.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') THEN jsonb_build_object('expires_at', jsonb_build_object('before', to_char(target.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'after', to_char(api_keys.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))) ELSE '{}' END
                || jsonb_build_object('overlap_seconds', jsonb_build_object('after', $7::int)) AS audit_changes),
  audited AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT clock_timestamp(), 'api_key.rotated', audit_user_id, audit_api_key_id, audit_changes, $8, $9::uuid, $10::uuid, $11, $12
      FROM changed
     WHERE audit_changes <> '{}'),
  ended AS (
    DELETE FROM superseded_secrets AS s
     USING changed
     WHERE s.api_key_id = changed.id
       AND s.expires_at <= statement_timestamp()),
  shortened AS (
    UPDATE superseded_secrets AS s
       SET expires_at = '-infinity'::timestamptz
      FROM changed
     WHERE s.api_key_id = changed.id
       AND s.expires_at > greatest(statement_timestamp(), '-infinity'::timestamptz)),
  superseded AS (
    INSERT INTO superseded_secrets (digest, api_key_id, superseded_at, expires_at)
    SELECT old_digest, id, clock_timestamp(), least(old_expires_at, '-infinity'::timestamptz)
      FROM changed)
  SELECT * FROM changed;

COMMIT;
