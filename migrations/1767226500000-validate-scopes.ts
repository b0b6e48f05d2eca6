import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Reads every key, while requests go on reading and writing them. */
export class ValidateScopes1767226500000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_keys VALIDATE CONSTRAINT ck_api_keys_scopes');
  }

  /** The constraint stays as valid as it is; undoing the step before removes it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
