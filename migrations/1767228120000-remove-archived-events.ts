import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * `remove_archived_events` removes audit events whose archive is itself recorded by an event. Like
 * `erase_user`, only the owner of the table can run it, and it disables the trigger for its own
 * transaction. Events that record archives are never removed.
 */
export class RemoveArchivedEvents1767228120000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const [{ schema }] = (await runner.query('SELECT quote_ident(current_schema()) AS schema')) as [{ schema: string }];
    await runner.query(`
      CREATE FUNCTION remove_archived_events(archive uuid, archived uuid[]) RETURNS int
        LANGUAGE plpgsql
        SET search_path = ${schema}, pg_temp
        SET lock_timeout = '5s'
        AS $$
        DECLARE
          first timestamptz;
          last timestamptz;
          removed int;
        BEGIN
          SELECT (changes -> 'first' ->> 'after')::timestamptz, (changes -> 'last' ->> 'after')::timestamptz
            INTO first, last
            FROM audit_events
           WHERE id = archive AND action = 'audit.archived';
          IF NOT FOUND THEN
            RAISE EXCEPTION 'no event tells of the archive %', archive USING ERRCODE = 'no_data_found';
          END IF;
          ALTER TABLE audit_events DISABLE TRIGGER tr_audit_events_append_only;
          DELETE FROM audit_events
           WHERE id = ANY (archived) AND created_at BETWEEN first AND last AND action <> 'audit.archived';
          GET DIAGNOSTICS removed = ROW_COUNT;
          ALTER TABLE audit_events ENABLE TRIGGER tr_audit_events_append_only;
          RETURN removed;
        END
      $$`);
    await runner.query('REVOKE EXECUTE ON FUNCTION remove_archived_events(uuid, uuid[]) FROM PUBLIC');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION remove_archived_events(uuid, uuid[])');
  }
}
