-- prepared: find_secrets, see getMe.sql

WITH changed AS (
    UPDATE api_keys
       SET revoked_at = CASE WHEN target.ends THEN statement_timestamp() ELSE api_keys.revoked_at END
      FROM (SELECT k.id, found.secrets,
                   found.works AND k.revoked_at IS NULL AND k.expires_at > statement_timestamp() AS ends
              FROM (SELECT key_id, bool_or(works) AS works, jsonb_object_agg(encode(digest, 'hex'), works) AS secrets
                      FROM (SELECT request.digest, coalesce(k.id, s.api_key_id) AS key_id,
                                   k.id IS NOT NULL OR s.expires_at > statement_timestamp() AS works
                              FROM unnest($1::bytea[]) AS request (digest)
                              LEFT JOIN api_keys AS k ON k.secret_digest = request.digest
                              LEFT JOIN superseded_secrets AS s ON s.digest = request.digest
                             WHERE coalesce(k.id, s.api_key_id) IS NOT NULL) AS each_secret
                     GROUP BY key_id) AS found
              JOIN api_keys AS k ON k.id = found.key_id
             ORDER BY k.id
               FOR UPDATE OF k) AS target
     WHERE api_keys.id = target.id
    RETURNING api_keys.user_id AS "userId", api_keys.name, target.secrets, target.ends, api_keys.user_id AS audit_user_id, api_keys.id AS audit_api_key_id,
              CASE WHEN target.ends THEN jsonb_build_object('revoked_at', jsonb_build_object('after', to_char(api_keys.revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))
                   ELSE '{}' END AS audit_changes),
  audited AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT clock_timestamp(), 'api_key.revoked', audit_user_id, audit_api_key_id, audit_changes, $2, $3::uuid, $4::uuid, $5, $6
      FROM changed
     WHERE audit_changes <> '{}')
  SELECT * FROM changed;
