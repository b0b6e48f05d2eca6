import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Indexes keys by their visible part, to find their owners. Changes of keys wait while the index is
 * built; on a large database, create it beforehand, CONCURRENTLY: docs/operations.md.
 */
export class IndexKeyPrefixes1767226800000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query('CREATE INDEX IF NOT EXISTS ix_api_keys_prefix ON api_keys (prefix)');
    const [index] = (await runner.query(
      `SELECT indisvalid AND pg_get_indexdef(indexrelid) LIKE '% USING btree (prefix)' AS good
         FROM pg_index WHERE indexrelid = 'ix_api_keys_prefix'::regclass AND indrelid = 'api_keys'::regclass`,
    )) as { good: boolean }[];
    if (!index?.good) throw new Error('Drop ix_api_keys_prefix: it was not completed, or is not as it should be');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX ix_api_keys_prefix');
  }
}
