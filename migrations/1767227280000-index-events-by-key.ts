import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Finds the events of the key that made the change, but for users who change their own profile:
 * the most frequent change would write to a further index. These are found by their user. Changes
 * wait while the index is built; on a large database it is made beforehand, CONCURRENTLY:
 * docs/operations.md.
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
