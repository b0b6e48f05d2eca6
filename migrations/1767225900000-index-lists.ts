import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Each list has an index that only it can read in order, so that none walks over rows that are not its own: what a filter finds may all
 * be old. Nothing here is ever null; NULLS LAST tells the orders apart (src/database/list.ts).
 *
 * Whoever has a large database makes the indexes beforehand, CONCURRENTLY.
 */
export class IndexLists1767225900000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX IF NOT EXISTS ix_users_created_at ON users (created_at DESC NULLS LAST, id DESC)');
    await runner.query(
      'CREATE INDEX IF NOT EXISTS ix_audit_events_created_at ON audit_events (created_at DESC NULLS LAST, id DESC)',
    );
    await runner.query(`CREATE INDEX IF NOT EXISTS ix_audit_events_user_id_action_newest
      ON audit_events (user_id, action, created_at DESC, id DESC NULLS LAST)`);
    await runner.query('DROP INDEX ix_users_newest, ix_audit_events_newest');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX ix_users_newest ON users (created_at DESC, id DESC)');
    await runner.query('CREATE INDEX ix_audit_events_newest ON audit_events (created_at DESC, id DESC)');
    await runner.query(
      'DROP INDEX ix_users_created_at, ix_audit_events_created_at, ix_audit_events_user_id_action_newest',
    );
  }
}
