import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Indexes events by the key that made the change, except changes that users make to their own
 * profile: the most frequent change would otherwise write to a further index. Those events are
 * found by their user. Changes wait while the index is built; on a large database, create it
 * beforehand, CONCURRENTLY: docs/operations.md.
 */
export class IndexEventsByKey1767227280000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`CREATE INDEX IF NOT EXISTS ix_audit_events_actor_key_id ON audit_events
      (actor_key_id, action, created_at DESC NULLS LAST, id DESC)
      WHERE actor_key_id IS NOT NULL AND (action <> 'user.updated' OR user_id <> actor_user_id)`);
    const [index] = (await runner.query(
      `SELECT indisvalid AS good FROM pg_index WHERE indexrelid = 'ix_audit_events_actor_key_id'::regclass`,
    )) as { good: boolean }[];
    if (!index?.good) throw new Error('Drop ix_audit_events_actor_key_id: it was not completed');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX ix_audit_events_actor_key_id');
  }
}
