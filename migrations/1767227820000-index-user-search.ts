import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Adds the texts of all users, and indexes them. Requests are served meanwhile; only the creation
 * of users waits. The index needs pg_trgm, which is a trusted extension: the right to create in the
 * database is enough. Without that right there is no index, and `search` is refused with the
 * remedy. `fastupdate` is off: with it, one in some thousands of creations would process all
 * pending entries, which takes longer than the statement timeout.
 *
 * Administrators also get an index, since they are few among all users.
 */
export class IndexUserSearch1767227820000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`INSERT INTO user_search_texts (user_id, version, text)
      SELECT id, version, fold_case(name || chr(10) || email) FROM users
      ON CONFLICT DO NOTHING`);
    await runner.query(`DO $$
      DECLARE
        opclass text;
      BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
        SELECT format('%s.gin_trgm_ops', extnamespace::regnamespace) INTO opclass FROM pg_extension WHERE extname = 'pg_trgm';
        EXECUTE format('CREATE INDEX ix_user_search_texts_text ON user_search_texts USING gin (text %s) WITH (fastupdate = off)', opclass);
      EXCEPTION
        WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
          RAISE NOTICE 'Users cannot be searched yet: %', SQLERRM;
      END $$`);
    await runner.query('ANALYZE user_search_texts');
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query('CREATE INDEX ix_users_administrators ON users (created_at DESC, id DESC) WHERE is_admin');
  }

  /** Keeps the extension, which others may use. Undoing the previous step drops the tables. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX ix_users_administrators');
    await runner.query('DROP INDEX IF EXISTS ix_user_search_texts_text');
  }
}
