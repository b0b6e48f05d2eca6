import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLES = ['users', 'api_keys', 'audit_events', 'credit_entries'];

const ACTIONS = `action IN ('user.created', 'user.updated', 'api_key.created', 'api_key.updated', 'api_key.rotated', 'api_key.revoked')`;

/** The last three were created by a version between two releases. */
const REPLACED = [
  'ix_users_newest',
  'ix_audit_events_newest',
  'ix_audit_events_user_id_newest',
  'ix_users_created_at',
  'ix_audit_events_created_at',
  'ix_audit_events_user_id_action_newest',
];

/**
 * Reduces the cost of a change on a large database; docs/performance-history.md has the figures.
 *
 * - A row with a random id dirties a different page of the primary key: the page is read from the
 *   disk once the index has outgrown the cache, and written to the write-ahead log as a whole. Each
 *   change of a user writes an event, so each change had this cost.
 * - Fewer indexes mean fewer writes: the lists of all users and of all events are merged from other
 *   lists (src/database/list.ts).
 * - A changed row that does not fit on its page moves to another page, and is added to every index
 *   again.
 *
 * On a large database, create the index beforehand, CONCURRENTLY: docs/operations.md.
 */
export class LightenChanges1767225960000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await lock(runner);
    await runner.query(`CREATE INDEX IF NOT EXISTS ix_audit_events_user_id_action_created_at
      ON audit_events (user_id, action, created_at DESC NULLS LAST, id DESC)`);
    const [index] = (await runner.query(`SELECT indisvalid AND pg_get_indexdef(indexrelid)
        LIKE '%(user_id, action, created_at DESC NULLS LAST, id DESC)%' AS good
      FROM pg_index WHERE indexrelid = 'ix_audit_events_user_id_action_created_at'::regclass
        AND indrelid = 'audit_events'::regclass`)) as { good: boolean }[];
    if (!index?.good) {
      throw new Error(
        'Drop ix_audit_events_user_id_action_created_at: it was not completed, or is not as it should be',
      );
    }
    // So that the estimated number of a user's events of one action is about right if there are
    // many.
    await runner.query('CREATE STATISTICS st_audit_events_user_id_action (mcv) ON user_id, action FROM audit_events');
    // A version 7 UUID (RFC 9562): 48 bits of milliseconds, the version, and random bits.
    // PostgreSQL has such a function only from version 18 on.
    await runner.query(`CREATE FUNCTION time_ordered_uuid() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
      SELECT (lpad(to_hex(floor(date_part('epoch', clock_timestamp()) * 1000::float8)::bigint), 12, '0')
        || '7' || substr(gen_random_uuid()::text, 16))::uuid
    $$`);
    await runner.query('GRANT EXECUTE ON FUNCTION time_ordered_uuid() TO PUBLIC'); // the default, as for PostgreSQL's own functions
    for (const table of TABLES) await runner.query(`ALTER TABLE ${table} ALTER id SET DEFAULT time_ordered_uuid()`);
    // Leaves room for the keys that are used within one minute, the interval at which their last
    // use is written.
    await runner.query('ALTER TABLE api_keys SET (fillfactor = 80)');
    await runner.query('ALTER TABLE users SET (fillfactor = 90)');

    // The lists of events are merged from one list per action, so the constraint must list every
    // action. Stored events are not checked again.
    await runner.query(`ALTER TABLE audit_events DROP CONSTRAINT ck_audit_events_action,
      ADD CONSTRAINT ck_audit_events_action CHECK (${ACTIONS}) NOT VALID`);

    // Found by their tables: another schema of the search path may have an index with the same
    // name.
    const replaced = (await runner.query(
      `SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class ON oid = indexrelid
        WHERE indrelid IN ('users'::regclass, 'audit_events'::regclass) AND relname = ANY ($1)`,
      [REPLACED],
    )) as { name: string }[];
    for (const { name } of replaced) await runner.query(`DROP INDEX ${name}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await lock(runner);
    await runner.query('CREATE INDEX IF NOT EXISTS ix_users_newest ON users (created_at DESC, id DESC)');
    await runner.query('CREATE INDEX IF NOT EXISTS ix_audit_events_newest ON audit_events (created_at DESC, id DESC)');
    await runner.query(
      'CREATE INDEX IF NOT EXISTS ix_audit_events_user_id_newest ON audit_events (user_id, created_at DESC, id DESC)',
    );
    await runner.query(`ALTER TABLE audit_events DROP CONSTRAINT ck_audit_events_action,
      ADD CONSTRAINT ck_audit_events_action CHECK (action ~ '^[a-z_]+\\.[a-z_]+$')`);
    await runner.query('DROP STATISTICS st_audit_events_user_id_action');
    await runner.query('ALTER TABLE users RESET (fillfactor)');
    await runner.query('ALTER TABLE api_keys RESET (fillfactor)');
    for (const table of TABLES) await runner.query(`ALTER TABLE ${table} ALTER id SET DEFAULT gen_random_uuid()`);
    await runner.query('DROP FUNCTION time_ordered_uuid()');
    await runner.query('DROP INDEX ix_audit_events_user_id_action_created_at');
  }
}

/**
 * Takes all locks at their final strength before any of them is held for long: upgrading a lock
 * could deadlock with a transaction that has read a table and waits for this one. A running dump
 * would block this transaction, which would block all others, so the wait has a timeout.
 */
async function lock(runner: QueryRunner): Promise<void> {
  await runner.query(`SET LOCAL lock_timeout = '5s'`);
  await runner.query(`LOCK TABLE ${TABLES.join()} IN ACCESS EXCLUSIVE MODE`);
}
