import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Reads every key, while requests continue to read and write keys. */
export class ValidateKeyPrefixes1767226920000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_keys VALIDATE CONSTRAINT ck_api_keys_prefix');
  }

  /** The constraint stays validated; undoing the previous step replaces it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
