import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Adds the key for which credits were spent. The index contains only entries with a key, of which
 * there are none yet.
 */
export class AddKeysOfCreditEntries1767226560000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE credit_entries ADD COLUMN api_key_id uuid');
    await runner.query(`CREATE INDEX ix_credit_entries_api_key ON credit_entries (user_id, api_key_id, created_at DESC NULLS LAST, id DESC)
      WHERE api_key_id IS NOT NULL`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE credit_entries DROP COLUMN api_key_id');
  }
}
