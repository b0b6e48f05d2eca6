-- prepared: find_secrets, see getMe.sql

SELECT audit_events.id, audit_events.created_at AS "createdAt", audit_events.action, audit_events.user_id AS "userId", audit_events.api_key_id AS "apiKeyId", audit_events.actor, audit_events.actor_user_id AS "actorUserId", audit_events.actor_key_id AS "actorKeyId", audit_events.request_id AS "requestId", audit_events.actor_account AS "actorAccount", audit_events.changes
  FROM ((SELECT * FROM audit_events WHERE true AND action = $1 ORDER BY created_at DESC, id DESC LIMIT $2::bigint + $3::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $4 ORDER BY created_at DESC, id DESC LIMIT $5::bigint + $6::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $7 ORDER BY created_at DESC, id DESC LIMIT $8::bigint + $9::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $10 ORDER BY created_at DESC, id DESC LIMIT $11::bigint + $12::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $13 ORDER BY created_at DESC, id DESC LIMIT $14::bigint + $15::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $16 ORDER BY created_at DESC, id DESC LIMIT $17::bigint + $18::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $19 ORDER BY created_at DESC, id DESC LIMIT $20::bigint + $21::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $22 ORDER BY created_at DESC, id DESC LIMIT $23::bigint + $24::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $25 ORDER BY created_at DESC, id DESC LIMIT $26::bigint + $27::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE true AND action = $28 ORDER BY created_at DESC, id DESC LIMIT $29::bigint + $30::bigint)) AS audit_events
 ORDER BY created_at DESC, id DESC
 LIMIT $31 OFFSET $32;

SELECT count(*)::int AS rows FROM (SELECT FROM ((SELECT id FROM audit_events WHERE true AND action = $1 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $2 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $3 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $4 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $5 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $6 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $7 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $8 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $9 ORDER BY created_at DESC, id DESC LIMIT 10001)
        UNION ALL (SELECT id FROM audit_events WHERE true AND action = $10 ORDER BY created_at DESC, id DESC LIMIT 10001)) AS audit_events LIMIT 10001) AS found;

SELECT audit_events.id, audit_events.created_at AS "createdAt", audit_events.action, audit_events.user_id AS "userId", audit_events.api_key_id AS "apiKeyId", audit_events.actor, audit_events.actor_user_id AS "actorUserId", audit_events.actor_key_id AS "actorKeyId", audit_events.request_id AS "requestId", audit_events.actor_account AS "actorAccount", audit_events.changes
  FROM ((SELECT * FROM audit_events WHERE actor_key_id = $1 AND action = $2 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $3::bigint + $4::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $5 AND action = $6 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $7::bigint + $8::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $9 AND action = $10 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $11::bigint + $12::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $13 AND action = $14 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $15::bigint + $16::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $17 AND action = $18 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $19::bigint + $20::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $21 AND action = $22 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $23::bigint + $24::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $25 AND action = $26 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $27::bigint + $28::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $29 AND action = $30 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $31::bigint + $32::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $33 AND action = $34 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $35::bigint + $36::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $37 AND action = $38 AND (action <> 'user.updated' OR user_id <> actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $39::bigint + $40::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE actor_key_id = $41 AND action = 'user.updated' AND user_id = actor_user_id AND user_id = (SELECT user_id FROM api_keys WHERE id = $42) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $43::bigint + $44::bigint)) AS audit_events
 ORDER BY created_at DESC NULLS LAST, id DESC
 LIMIT $45 OFFSET $46;

SELECT audit_events.id, audit_events.created_at AS "createdAt", audit_events.action, audit_events.user_id AS "userId", audit_events.api_key_id AS "apiKeyId", audit_events.actor, audit_events.actor_user_id AS "actorUserId", audit_events.actor_key_id AS "actorKeyId", audit_events.request_id AS "requestId", audit_events.actor_account AS "actorAccount", audit_events.changes
  FROM ((SELECT * FROM audit_events WHERE api_key_id = $1 AND created_at < ($2::date + 1)::timestamp AT TIME ZONE 'UTC' AND action = ANY ($3) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $4::bigint + $5::bigint)) AS audit_events
 ORDER BY created_at DESC NULLS LAST, id DESC
 LIMIT $6 OFFSET $7;

SELECT audit_events.id, audit_events.created_at AS "createdAt", audit_events.action, audit_events.user_id AS "userId", audit_events.api_key_id AS "apiKeyId", audit_events.actor, audit_events.actor_user_id AS "actorUserId", audit_events.actor_key_id AS "actorKeyId", audit_events.request_id AS "requestId", audit_events.actor_account AS "actorAccount", audit_events.changes
  FROM ((SELECT * FROM audit_events WHERE request_id = $1 AND action = ANY ($2) AND (action <> 'user.updated' OR user_id IS DISTINCT FROM actor_user_id) ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $3::bigint + $4::bigint)
        UNION ALL (SELECT * FROM audit_events WHERE request_id = $5 AND action = 'user.updated' AND user_id = actor_user_id AND created_at BETWEEN $6 AND $7 ORDER BY created_at DESC NULLS LAST, id DESC LIMIT $8::bigint + $9::bigint)) AS audit_events
 ORDER BY created_at DESC NULLS LAST, id DESC
 LIMIT $10 OFFSET $11;
