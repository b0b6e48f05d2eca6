import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateAuditEvents1767225720000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // No foreign keys: the audit trail must not depend on the rows that it describes.
    await runner.query(`CREATE TABLE audit_events (
      id            uuid           CONSTRAINT pk_audit_events PRIMARY KEY DEFAULT gen_random_uuid(),
      created_at    timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
      action        varchar(32)    NOT NULL CONSTRAINT ck_audit_events_action CHECK (action ~ '^[a-z_]+\\.[a-z_]+$'),
      user_id       uuid           NOT NULL,
      api_key_id    uuid,
      actor         varchar(12)    NOT NULL
        CONSTRAINT ck_audit_events_actor CHECK (actor IN ('API_KEY', 'COMMAND_LINE', 'APPLICATION')),
      actor_user_id uuid,
      actor_key_id  uuid,
      request_id    varchar(128),
      changes       jsonb          NOT NULL
    )`);
    await runner.query('CREATE INDEX ix_audit_events_newest ON audit_events (created_at DESC, id DESC)');
    await runner.query(
      'CREATE INDEX ix_audit_events_user_id_newest ON audit_events (user_id, created_at DESC, id DESC)',
    );
    await runner.query('CREATE INDEX ix_audit_events_action_newest ON audit_events (action, created_at DESC, id DESC)');
    await runner.query(`CREATE FUNCTION refuse_to_rewrite_history() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
      END
    $$`);
    await runner.query(`CREATE TRIGGER tr_audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_events');
    await runner.query('DROP FUNCTION refuse_to_rewrite_history()');
  }
}
