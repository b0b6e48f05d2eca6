INSERT INTO audit_events (action, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
SELECT 'users.imported', jsonb_build_object('users', jsonb_build_object('after', import.created)), $1, $2::uuid, $3::uuid, $4, $5
  FROM (SELECT $6::int AS created) AS import;
