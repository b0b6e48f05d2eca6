import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What a change costs on a large database; docs/performance.md has the figures.
 *
 * - A change of a user writes an event. With a random id each event fell on a page of the primary key of its own: read from the disk once
 *   the index outgrew the cache, and written to the log whole.
 * - Each index less is a write less: the lists of all users and of all events are merged from others (src/database/list.ts).
 * - A changed row that finds no room on its page goes to another, and into every index anew.
 *
 * Whoever has a large database makes the index beforehand, CONCURRENTLY: docs/operations.md.
 */
export class LightenChanges1767225960000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // A dump that is under way would hold up the statements below, and they all others.
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`CREATE INDEX IF NOT EXISTS ix_audit_events_user_id_action_created_at
      ON audit_events (user_id, action, created_at DESC NULLS LAST, id DESC)`);
    const [index] = (await runner.query(`SELECT indisvalid FROM pg_index
      WHERE indexrelid = 'ix_audit_events_user_id_action_created_at'::regclass`)) as [{ indisvalid: boolean }];
    if (!index.indisvalid) throw new Error('Drop what was not completed: ix_audit_events_user_id_action_created_at');
    await runner.query(`DROP INDEX IF EXISTS ix_users_newest, ix_audit_events_newest, ix_audit_events_user_id_newest`);
    // Of a version between two releases.
    await runner.query(
      `DROP INDEX IF EXISTS ix_users_created_at, ix_audit_events_created_at, ix_audit_events_user_id_action_newest`,
    );

    // Version 7 of RFC 9562: 48 bits of milliseconds, the version, and random bits. PostgreSQL has its own from 18 on only.
    await runner.query(`CREATE OR REPLACE FUNCTION time_ordered_uuid() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
      SELECT (lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7' || substr(gen_random_uuid()::text, 16))::uuid
    $$`);
    await runner.query('ALTER TABLE audit_events ALTER id SET DEFAULT time_ordered_uuid()');
    await runner.query('ALTER TABLE credit_entries ALTER id SET DEFAULT time_ordered_uuid()');

    // Room for the keys that are used within a minute, which is how often their last use is written.
    await runner.query('ALTER TABLE api_keys SET (fillfactor = 80)');
    await runner.query('ALTER TABLE users SET (fillfactor = 90)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE users RESET (fillfactor)');
    await runner.query('ALTER TABLE api_keys RESET (fillfactor)');
    await runner.query('ALTER TABLE credit_entries ALTER id SET DEFAULT gen_random_uuid()');
    await runner.query('ALTER TABLE audit_events ALTER id SET DEFAULT gen_random_uuid()');
    await runner.query('DROP FUNCTION time_ordered_uuid()');
    await runner.query('CREATE INDEX ix_users_newest ON users (created_at DESC, id DESC)');
    await runner.query('CREATE INDEX ix_audit_events_newest ON audit_events (created_at DESC, id DESC)');
    await runner.query(
      'CREATE INDEX ix_audit_events_user_id_newest ON audit_events (user_id, created_at DESC, id DESC)',
    );
    await runner.query('DROP INDEX ix_audit_events_user_id_action_created_at');
  }
}
