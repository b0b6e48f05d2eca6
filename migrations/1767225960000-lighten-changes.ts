import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLES = ['users', 'api_keys', 'audit_events', 'credit_entries'];

const ACTIONS = `action IN ('user.created', 'user.updated', 'api_key.created', 'api_key.updated', 'api_key.rotated', 'api_key.revoked')`;

/** The last three are of a version between two releases. */
const REPLACED = [
  'ix_users_newest',
  'ix_audit_events_newest',
  'ix_audit_events_user_id_newest',
  'ix_users_created_at',
  'ix_audit_events_created_at',
  'ix_audit_events_user_id_action_newest',
];

/**
 * What a change costs on a large database; docs/performance-history.md has the figures.
 *
 * - A row with a random id falls on a page of the primary key of its own: read from the disk once the index has outgrown the cache, and
 *   written to the log whole. A change of a user writes an event, so each change paid for it.
 * - Each index less is a write less: the lists of all users and of all events are merged from others (src/database/list.ts).
 * - A changed row that finds no room on its page goes to another, and into every index anew.
 *
 * Whoever has a large database makes the index beforehand, CONCURRENTLY: docs/operations.md.
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
    // So that the total of a user's events of one action is about right where they are many.
    await runner.query('CREATE STATISTICS st_audit_events_user_id_action (mcv) ON user_id, action FROM audit_events');
    // Version 7 of RFC 9562: 48 bits of milliseconds, the version, and random bits. PostgreSQL has its own from 18 on only.
    await runner.query(`CREATE FUNCTION time_ordered_uuid() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
      SELECT (lpad(to_hex(floor(date_part('epoch', clock_timestamp()) * 1000::float8)::bigint), 12, '0')
        || '7' || substr(gen_random_uuid()::text, 16))::uuid
    $$`);
    await runner.query('GRANT EXECUTE ON FUNCTION time_ordered_uuid() TO PUBLIC'); // as it is by default, like PostgreSQL's own
    for (const table of TABLES) await runner.query(`ALTER TABLE ${table} ALTER id SET DEFAULT time_ordered_uuid()`);
    // Room for the keys that are used within a minute, which is how often their last use is written.
    await runner.query('ALTER TABLE api_keys SET (fillfactor = 80)');
    await runner.query('ALTER TABLE users SET (fillfactor = 90)');

    // The lists of events are merged from those of each action, so there must be no other. Those that are there are not read again.
    await runner.query(`ALTER TABLE audit_events DROP CONSTRAINT ck_audit_events_action,
      ADD CONSTRAINT ck_audit_events_action CHECK (${ACTIONS}) NOT VALID`);

    // By their tables: another schema of the search path may have one of the same name.
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
 * All that is needed, before anything is held for long: who has read a table and waits for us would deadlock with a lock that grows. A
 * dump that is under way holds us up, and we all others, so we give up.
 */
async function lock(runner: QueryRunner): Promise<void> {
  await runner.query(`SET LOCAL lock_timeout = '5s'`);
  await runner.query(`LOCK TABLE ${TABLES.join()} IN ACCESS EXCLUSIVE MODE`);
}
