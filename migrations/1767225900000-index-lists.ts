import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Each list has an index that it alone can read in order, so that none walks over rows that are not its own: what a filter finds
 * may all be old. src/database/list.ts says how they are told apart.
 *
 * Whoever has a large database makes them beforehand, CONCURRENTLY: docs/operations.md.
 */
export class IndexLists1767225900000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // A dump that is under way would hold up the last statement, and that all others.
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query('CREATE INDEX IF NOT EXISTS ix_users_created_at ON users (created_at DESC NULLS LAST, id DESC)');
    await runner.query(
      'CREATE INDEX IF NOT EXISTS ix_audit_events_created_at ON audit_events (created_at DESC NULLS LAST, id DESC)',
    );
    await runner.query(`CREATE INDEX IF NOT EXISTS ix_audit_events_user_id_action_newest
      ON audit_events ((user_id::text || action), created_at DESC, id DESC)`);
    const invalid = (await runner.query(`SELECT indexrelid::regclass::text AS name FROM pg_index
      WHERE NOT indisvalid AND indexrelid IN ('ix_users_created_at'::regclass, 'ix_audit_events_created_at'::regclass,
        'ix_audit_events_user_id_action_newest'::regclass)`)) as { name: string }[];
    if (invalid.length > 0) {
      throw new Error(`Drop what was not completed: ${invalid.map(({ name }) => name).join(', ')}`);
    }
    await runner.query('DROP INDEX IF EXISTS ix_users_newest, ix_audit_events_newest');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX IF NOT EXISTS ix_users_newest ON users (created_at DESC, id DESC)');
    await runner.query('CREATE INDEX IF NOT EXISTS ix_audit_events_newest ON audit_events (created_at DESC, id DESC)');
    await runner.query(
      'DROP INDEX IF EXISTS ix_users_created_at, ix_audit_events_created_at, ix_audit_events_user_id_action_newest',
    );
  }
}
