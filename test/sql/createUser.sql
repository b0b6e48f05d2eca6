-- prepared: find_secrets, see getMe.sql

WITH changed AS (
    INSERT INTO users (name, email, is_admin, rate_limit_per_minute)
    SELECT normalize(name, NFC), email, is_admin, rate_limit_per_minute
      FROM unnest($1::text[], $2::text[], $3::boolean[], $4::integer[]) AS request (name, email, is_admin, rate_limit_per_minute)
    
    RETURNING users.id, users.created_at AS "createdAt", users.updated_at AS "updatedAt", users.version, users.status, users.is_admin AS "isAdmin", users.name, users.email, users.credits_balance AS "creditsBalance", users.rate_limit_per_minute AS "rateLimitPerMinute", id AS audit_user_id, NULL::uuid AS audit_api_key_id,
              jsonb_build_object('name', jsonb_build_object('after', name), 'email', jsonb_build_object('after', email), 'status', jsonb_build_object('after', status), 'is_admin', jsonb_build_object('after', is_admin), 'rate_limit_per_minute', jsonb_build_object('after', rate_limit_per_minute)) AS audit_changes),
  audited AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT clock_timestamp(), 'user.created', audit_user_id, audit_api_key_id, audit_changes, $5, $6::uuid, $7::uuid, $8, $9
      FROM changed
     WHERE audit_changes <> '{}')
  SELECT * FROM changed;
