SELECT quote_ident(current_user) AS role, relowner::regrole::text AS owner, pg_has_role(relowner, 'USAGE') AS owns
       FROM pg_class WHERE oid = $1::regclass;

START TRANSACTION;

SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout');

SELECT pg_try_advisory_xact_lock($1) AS locked;

SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout');

SELECT audit_events.id, audit_events.created_at AS "createdAt", audit_events.action, audit_events.user_id AS "userId", audit_events.api_key_id AS "apiKeyId", audit_events.actor, audit_events.actor_user_id AS "actorUserId", audit_events.actor_key_id AS "actorKeyId", audit_events.request_id AS "requestId", audit_events.actor_account AS "actorAccount", audit_events.changes
  FROM ((SELECT * FROM audit_events WHERE action = $1 AND created_at < $2 AND (created_at, id) > ($3, $4) ORDER BY created_at, id LIMIT $5)
        UNION ALL (SELECT * FROM audit_events WHERE action = $6 AND created_at < $7 AND (created_at, id) > ($8, $9) ORDER BY created_at, id LIMIT $10)
        UNION ALL (SELECT * FROM audit_events WHERE action = $11 AND created_at < $12 AND (created_at, id) > ($13, $14) ORDER BY created_at, id LIMIT $15)
        UNION ALL (SELECT * FROM audit_events WHERE action = $16 AND created_at < $17 AND (created_at, id) > ($18, $19) ORDER BY created_at, id LIMIT $20)
        UNION ALL (SELECT * FROM audit_events WHERE action = $21 AND created_at < $22 AND (created_at, id) > ($23, $24) ORDER BY created_at, id LIMIT $25)
        UNION ALL (SELECT * FROM audit_events WHERE action = $26 AND created_at < $27 AND (created_at, id) > ($28, $29) ORDER BY created_at, id LIMIT $30)
        UNION ALL (SELECT * FROM audit_events WHERE action = $31 AND created_at < $32 AND (created_at, id) > ($33, $34) ORDER BY created_at, id LIMIT $35)
        UNION ALL (SELECT * FROM audit_events WHERE action = $36 AND created_at < $37 AND (created_at, id) > ($38, $39) ORDER BY created_at, id LIMIT $40)
        UNION ALL (SELECT * FROM audit_events WHERE action = $41 AND created_at < $42 AND (created_at, id) > ($43, $44) ORDER BY created_at, id LIMIT $45)) AS audit_events
 ORDER BY created_at, id
 LIMIT $46;

COMMIT;

WITH found AS (
    SELECT id, changes FROM audit_events WHERE action = 'audit.archived' AND changes -> 'sha256' ->> 'after' = $1),
  recorded AS (
    INSERT INTO audit_events (action, changes, actor, actor_user_id, actor_key_id, request_id, actor_account)
    SELECT 'audit.archived', $2::jsonb, $3, $4::uuid, $5::uuid, $6, $7
     WHERE NOT EXISTS (SELECT FROM found)
    RETURNING id, changes)
  SELECT id, (changes -> 'before' ->> 'after')::timestamptz AS before
    FROM (TABLE found UNION ALL TABLE recorded) AS archive;

SELECT remove_archived_events($1, $2::uuid[]) AS removed;
