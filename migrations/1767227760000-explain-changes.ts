import type { MigrationInterface, QueryRunner } from 'typeorm';

const ACTIONS = [
  'user.created',
  'user.updated',
  'api_key.created',
  'api_key.updated',
  'api_key.rotated',
  'api_key.revoked',
];
const NEW_ACTIONS = [...ACTIONS, 'user.created_by_import', 'users.imported'];

const listOf = (actions: string[]): string => actions.map((action) => `'${action}'`).join(', ');

const ACTOR_TABLES = ['audit_events', 'credit_entries', 'credit_holds'];

const INDEXES = {
  ix_audit_events_actor_user_id: `audit_events (actor_user_id, action, created_at DESC NULLS LAST, id DESC)
    WHERE actor_user_id IS NOT NULL AND (action <> 'user.updated' OR user_id <> actor_user_id)`,
  ix_audit_events_api_key_id: `audit_events (api_key_id, created_at DESC NULLS LAST, id DESC) WHERE api_key_id IS NOT NULL`,
  ix_audit_events_request_id: `audit_events (request_id)
    WHERE request_id IS NOT NULL AND (action <> 'user.updated' OR user_id IS DISTINCT FROM actor_user_id)`,
  ix_credit_entries_type: 'credit_entries (user_id, transaction_type, created_at DESC NULLS LAST, id DESC)',
};

/**
 * Indexes events by the user who made the change, by the changed key and by the request, and
 * entries by their type.
 *
 * - The indexes of events omit changes that users make to their own profile, the most frequent
 *   change, which would otherwise write to each of them. Those events are found by their user, or
 *   by the time of the request.
 * - A change from the command line records the account of the operator. The event of an import
 *   belongs to no single user.
 * - Changes wait while the indexes are built; on a large database, create them beforehand,
 *   CONCURRENTLY: docs/operations.md.
 */
export class ExplainChanges1767227760000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query('LOCK TABLE audit_events, credit_entries, credit_holds IN ACCESS EXCLUSIVE MODE');
    for (const [name, definition] of Object.entries(INDEXES)) {
      await runner.query(`CREATE INDEX IF NOT EXISTS ${name} ON ${definition}`);
      const [index] = (await runner.query(
        `SELECT indisvalid AS good FROM pg_index WHERE indexrelid = '${name}'::regclass`,
      )) as { good: boolean }[];
      if (!index?.good) throw new Error(`Drop ${name}: it was not completed`);
    }
    for (const table of ACTOR_TABLES) await runner.query(`ALTER TABLE ${table} ADD COLUMN actor_account varchar(128)`);
    await runner.query(`ALTER TABLE audit_events
      ALTER COLUMN user_id DROP NOT NULL,
      DROP CONSTRAINT IF EXISTS ck_audit_events_user_id,
      DROP CONSTRAINT ck_audit_events_action,
      ADD CONSTRAINT ck_audit_events_action
        CHECK (action IN (${listOf(NEW_ACTIONS)}) AND (user_id IS NOT NULL OR action = 'users.imported')) NOT VALID`);
  }

  /** Events of imports stay, so the column becomes NOT NULL again only if there are none. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('LOCK TABLE audit_events, credit_entries, credit_holds IN ACCESS EXCLUSIVE MODE');
    const imports = (await runner.query('SELECT FROM audit_events WHERE user_id IS NULL LIMIT 1')) as object[];
    await runner.query(`ALTER TABLE audit_events
      ${imports.length === 0 ? 'ALTER COLUMN user_id SET NOT NULL' : 'ADD CONSTRAINT ck_audit_events_user_id CHECK (user_id IS NOT NULL) NOT VALID'},
      DROP CONSTRAINT ck_audit_events_action,
      ADD CONSTRAINT ck_audit_events_action CHECK (action IN (${listOf(ACTIONS)})) NOT VALID`);
    for (const table of ACTOR_TABLES) await runner.query(`ALTER TABLE ${table} DROP COLUMN actor_account`);
    for (const name of Object.keys(INDEXES)) await runner.query(`DROP INDEX ${name}`);
  }
}
