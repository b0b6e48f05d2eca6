import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Reads every user and every key, while requests continue to read and write them. */
export class ValidateRateLimits1767227220000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE users VALIDATE CONSTRAINT ck_users_rate_limit_per_minute');
    await runner.query('ALTER TABLE api_keys VALIDATE CONSTRAINT ck_api_keys_rate_limit_per_minute');
  }

  /** The constraints stay validated; undoing the previous step removes them. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
