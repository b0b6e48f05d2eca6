-- prepared: find_secrets, see getMe.sql

-- prepared: patch_unlocked_users
WITH changed AS (
    UPDATE users
       SET name = next.name, rate_limit_per_minute = next.rate_limit_per_minute,
           version = users.version + comparison.differs::int,
           updated_at = CASE WHEN comparison.differs THEN greatest(clock_timestamp(), users.updated_at + interval '1 ms')
                             ELSE users.updated_at END
      FROM (SELECT request.*, target.name AS old_name, target.rate_limit_per_minute AS old_rate_limit_per_minute
              FROM unnest((SELECT $1::uuid[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::boolean[]), (SELECT $5::integer[]), (SELECT $6::boolean[]), (SELECT $7::text[]), (SELECT $8::uuid[]), (SELECT $9::uuid[]), (SELECT $10::text[]), (SELECT $11::text[])) AS request (id, versions, name, name_given, rate_limit_per_minute, rate_limit_per_minute_given, actor, actor_user_id, actor_key_id, request_id, actor_account)
              JOIN users AS target ON target.id = request.id
             WHERE request.versions IS NULL OR target.version = ANY (request.versions::bigint[])
               FOR NO KEY UPDATE OF target SKIP LOCKED) AS request,
           LATERAL (SELECT CASE WHEN request.name_given THEN normalize(request.name, NFC) ELSE request.old_name END AS name, CASE WHEN request.rate_limit_per_minute_given THEN request.rate_limit_per_minute ELSE request.old_rate_limit_per_minute END AS rate_limit_per_minute) AS next,
           LATERAL (SELECT (next.name, next.rate_limit_per_minute) IS DISTINCT FROM (request.old_name, request.old_rate_limit_per_minute) AS differs) AS comparison
     WHERE users.id = request.id
    RETURNING users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute", actor, actor_user_id, actor_key_id, request_id, actor_account,
              users.id AS audit_user_id, NULL::uuid AS audit_api_key_id,
              CASE WHEN request.old_name IS DISTINCT FROM users.name THEN jsonb_build_object('name', jsonb_build_object('before', request.old_name, 'after', users.name)) ELSE '{}' END
        || CASE WHEN request.old_rate_limit_per_minute IS DISTINCT FROM users.rate_limit_per_minute THEN jsonb_build_object('rate_limit_per_minute', jsonb_build_object('before', request.old_rate_limit_per_minute, 'after', users.rate_limit_per_minute)) ELSE '{}' END AS audit_changes),
  audited AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT "updatedAt", 'user.updated', audit_user_id, audit_api_key_id, audit_changes, actor, actor_user_id, actor_key_id, request_id, actor_account
      FROM changed
     WHERE audit_changes <> '{}'),
  renamed AS (
    INSERT INTO renamed_users (user_id)
    SELECT audit_user_id FROM changed WHERE audit_changes ?| ARRAY['name', 'email'])
  SELECT * FROM changed;
