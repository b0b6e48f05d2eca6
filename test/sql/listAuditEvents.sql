-- prepared: find_secrets, see getMe.sql

SELECT audit_events.id, audit_events.created_at AS "createdAt", audit_events.action, audit_events.user_id AS "userId", audit_events.api_key_id AS "apiKeyId", audit_events.actor, audit_events.actor_user_id AS "actorUserId", audit_events.actor_key_id AS "actorKeyId", audit_events.request_id AS "requestId", audit_events.changes
  FROM ((SELECT * FROM audit_events WHERE true AND action = $1 ORDER BY created_at DESC, id DESC LIMIT $2::bigint + $3::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $4 ORDER BY created_at DESC, id DESC LIMIT $5::bigint + $6::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $7 ORDER BY created_at DESC, id DESC LIMIT $8::bigint + $9::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $10 ORDER BY created_at DESC, id DESC LIMIT $11::bigint + $12::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $13 ORDER BY created_at DESC, id DESC LIMIT $14::bigint + $15::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $16 ORDER BY created_at DESC, id DESC LIMIT $17::bigint + $18::bigint)) AS audit_events
 ORDER BY created_at DESC, id DESC
 LIMIT $19 OFFSET $20;

SELECT count(*)::int AS rows FROM (SELECT FROM ((SELECT id FROM audit_events WHERE true AND action = $1 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $2 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $3 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $4 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $5 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $6 ORDER BY created_at DESC, id DESC LIMIT 10001)) AS audit_events LIMIT 10001) AS found;
