import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Adds the budgets of users and of keys, in requests a minute. A nullable column without a default
 * rewrites no row, and the constraints are validated by the next migration, so the tables are
 * locked only briefly.
 */
export class AddRateLimits1767227160000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE users
        ADD COLUMN rate_limit_per_minute integer,
        ADD CONSTRAINT ck_users_rate_limit_per_minute CHECK (rate_limit_per_minute >= 1) NOT VALID`);
    await runner.query(`
      ALTER TABLE api_keys
        ADD COLUMN rate_limit_per_minute integer,
        ADD CONSTRAINT ck_api_keys_rate_limit_per_minute CHECK (rate_limit_per_minute >= 0) NOT VALID`);
  }

  /** Deletes the limits of all users and keys; the default then applies to every key again. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_keys DROP COLUMN rate_limit_per_minute');
    await runner.query('ALTER TABLE users DROP COLUMN rate_limit_per_minute');
  }
}
