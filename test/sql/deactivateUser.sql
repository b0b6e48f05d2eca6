-- prepared: find_secrets, see getMe.sql

-- prepared: patch_users
WITH changed AS (
    UPDATE users
       SET name = next.name, email = next.email, is_admin = next.is_admin, status = next.status, rate_limit_per_minute = next.rate_limit_per_minute,
           version = users.version + comparison.differs::int,
           updated_at = CASE WHEN comparison.differs THEN greatest(clock_timestamp(), users.updated_at + interval '1 ms')
                             ELSE users.updated_at END
      FROM (SELECT request.*, target.name AS old_name, target.email AS old_email, target.is_admin AS old_is_admin, target.status AS old_status, target.rate_limit_per_minute AS old_rate_limit_per_minute
              FROM unnest((SELECT $1::uuid[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::boolean[]), (SELECT $5::text[]), (SELECT $6::boolean[]), (SELECT $7::boolean[]), (SELECT $8::boolean[]), (SELECT $9::text[]), (SELECT $10::boolean[]), (SELECT $11::integer[]), (SELECT $12::boolean[]), (SELECT $13::text[]), (SELECT $14::uuid[]), (SELECT $15::uuid[]), (SELECT $16::text[]), (SELECT $17::text[])) AS request (id, versions, name, name_given, email, email_given, is_admin, is_admin_given, status, status_given, rate_limit_per_minute, rate_limit_per_minute_given, actor, actor_user_id, actor_key_id, request_id, actor_account)
              JOIN users AS target ON target.id = request.id
             WHERE request.versions IS NULL OR target.version = ANY (request.versions::bigint[])
               FOR NO KEY UPDATE OF target ) AS request,
           LATERAL (SELECT CASE WHEN request.name_given THEN normalize(request.name, NFC) ELSE request.old_name END AS name, CASE WHEN request.email_given THEN request.email ELSE request.old_email END AS email, CASE WHEN request.is_admin_given THEN request.is_admin ELSE request.old_is_admin END AS is_admin, CASE WHEN request.status_given THEN request.status ELSE request.old_status END AS status, CASE WHEN request.rate_limit_per_minute_given THEN request.rate_limit_per_minute ELSE request.old_rate_limit_per_minute END AS rate_limit_per_minute) AS next,
           LATERAL (SELECT (next.name, next.email, next.is_admin, next.status, next.rate_limit_per_minute) IS DISTINCT FROM (request.old_name, request.old_email, request.old_is_admin, request.old_status, request.old_rate_limit_per_minute) AS differs) AS comparison
     WHERE users.id = request.id
    RETURNING users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute", actor, actor_user_id, actor_key_id, request_id, actor_account,
              users.id AS audit_user_id, NULL::uuid AS audit_api_key_id,
              CASE WHEN request.old_name IS DISTINCT FROM users.name THEN jsonb_build_object('name', jsonb_build_object('before', request.old_name, 'after', users.name)) ELSE '{}' END
        || CASE WHEN request.old_email IS DISTINCT FROM users.email THEN jsonb_build_object('email', jsonb_build_object('before', request.old_email, 'after', users.email)) ELSE '{}' END
        || CASE WHEN request.old_is_admin IS DISTINCT FROM users.is_admin THEN jsonb_build_object('is_admin', jsonb_build_object('before', request.old_is_admin, 'after', users.is_admin)) ELSE '{}' END
        || CASE WHEN request.old_status IS DISTINCT FROM users.status THEN jsonb_build_object('status', jsonb_build_object('before', request.old_status, 'after', users.status)) ELSE '{}' END
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
