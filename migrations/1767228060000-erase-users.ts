import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * `erase_user` replaces the name, the address and the names of the keys of a user, in the rows, in
 * the texts of the search and in the audit trail.
 *
 * - It runs with the rights of its caller, and disables a trigger of `audit_events`, so only the
 *   owner of the table can run it, whatever rights are granted.
 * - The lock on `audit_events` comes first: a change that has begun ends before the rows are
 *   locked, and a change that begins later waits until the trigger is enabled again. Reads
 *   continue.
 * - The trigger is enabled again in the same transaction, however the transaction ends.
 */
export class EraseUsers1767228060000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const [{ schema }] = (await runner.query('SELECT quote_ident(current_schema()) AS schema')) as [{ schema: string }];
    await runner.query(`
      CREATE FUNCTION erase_user(erased uuid, account text DEFAULT NULL) RETURNS boolean
        LANGUAGE plpgsql
        SET search_path = ${schema}, pg_temp
        SET lock_timeout = '5s'
        AS $$
        DECLARE
          address text;
          status_change jsonb := '{}';
          keys int;
          events int;
        BEGIN
          ALTER TABLE audit_events DISABLE TRIGGER tr_audit_events_append_only;

          -- Neither the address that another user may have, nor the name of another key, is in the way.
          SELECT CASE WHEN email ~ ('^erased-' || id || '(-[0-9a-f-]{36})?@erased\\.invalid$') THEN email
                      ELSE 'erased-' || id || coalesce('-' || taken.suffix, '') || '@erased.invalid' END
            INTO address
            FROM users
            LEFT JOIN LATERAL (SELECT gen_random_uuid() AS suffix
                                 FROM users AS other
                                WHERE lower(other.email COLLATE "C") = 'erased-' || users.id || '@erased.invalid') AS taken ON true
           WHERE id = erased
             FOR UPDATE OF users;
          IF NOT FOUND THEN
            ALTER TABLE audit_events ENABLE TRIGGER tr_audit_events_append_only;
            RETURN NULL;
          END IF;

          UPDATE api_keys
             SET name = 'erased-' || gen_random_uuid()
           WHERE user_id = erased AND name LIKE 'erased-%' AND name <> 'erased-' || id;

          UPDATE users
             SET name = 'Erased', email = address, status = 'INACTIVE', is_admin = false, version = users.version + 1,
                 updated_at = greatest(clock_timestamp(), users.updated_at + interval '1 ms')
            FROM (SELECT id, status, is_admin FROM users WHERE id = erased) AS old
           WHERE users.id = old.id
             AND (users.name, users.email, users.status, users.is_admin) IS DISTINCT FROM ('Erased', address, 'INACTIVE', false)
          RETURNING CASE WHEN old.status = 'ACTIVE' THEN jsonb_build_object('status', jsonb_build_object('before', old.status, 'after', users.status)) ELSE '{}' END
                 || CASE WHEN old.is_admin THEN jsonb_build_object('is_admin', jsonb_build_object('before', true, 'after', false)) ELSE '{}' END
            INTO status_change;

          -- In the order in which the application replaces the texts.
          DELETE FROM renamed_users WHERE user_id = erased;
          UPDATE user_search_texts
             SET text = fold_case('Erased' || chr(10) || address), version = users.version
            FROM users
           WHERE users.id = erased AND user_id = erased;

          WITH changed AS (
            UPDATE api_keys
               SET name = 'erased-' || api_keys.id,
                   revoked_at = CASE WHEN old.ends THEN statement_timestamp() ELSE api_keys.revoked_at END
              FROM (SELECT id, revoked_at IS NULL AND expires_at > statement_timestamp() AS ends
                      FROM api_keys
                     WHERE user_id = erased
                       FOR UPDATE) AS old
             WHERE api_keys.id = old.id AND (old.ends OR api_keys.name <> 'erased-' || api_keys.id)
            RETURNING api_keys.id, api_keys.revoked_at, old.ends),
          audited AS (
            INSERT INTO audit_events (action, user_id, api_key_id, changes, actor, actor_account)
            SELECT 'api_key.revoked', erased, id,
                   jsonb_build_object('revoked_at', jsonb_build_object(
                     'after', to_char(revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))),
                   'COMMAND_LINE', account
              FROM changed
             WHERE ends)
          SELECT count(*) INTO keys FROM changed;

          -- Every value of a field, whether it is one before or one after a change.
          UPDATE audit_events AS event
             SET changes = next.changes
            FROM (SELECT stored.id,
                         stored.changes || (
                           SELECT jsonb_object_agg(field, (
                                    SELECT jsonb_object_agg(side, CASE field WHEN 'email' THEN address
                                                                  ELSE coalesce('erased-' || stored.api_key_id, 'Erased') END)
                                      FROM jsonb_object_keys(stored.changes -> field) AS side))
                             FROM unnest(ARRAY['name', 'email']) AS field
                            WHERE stored.changes ? field) AS changes
                    FROM audit_events AS stored
                   WHERE stored.user_id = erased AND stored.changes ?| ARRAY['name', 'email']) AS next
           WHERE event.id = next.id AND event.changes <> next.changes;
          GET DIAGNOSTICS events = ROW_COUNT;

          IF status_change IS NOT NULL OR keys > 0 OR events > 0 THEN
            INSERT INTO audit_events (action, user_id, changes, actor, actor_account)
            VALUES ('user.erased', erased,
                    coalesce(status_change, '{}') || jsonb_build_object(
                      'api_keys', jsonb_build_object('after', keys), 'audit_events', jsonb_build_object('after', events)),
                    'COMMAND_LINE', account);
          END IF;

          ALTER TABLE audit_events ENABLE TRIGGER tr_audit_events_append_only;
          RETURN status_change IS NOT NULL OR keys > 0 OR events > 0;
        END
      $$`);
    await runner.query('REVOKE EXECUTE ON FUNCTION erase_user(uuid, text) FROM PUBLIC');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION erase_user(uuid, text)');
  }
}
