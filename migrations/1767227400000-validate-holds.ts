import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Reads every user, while requests continue to read and write users. */
export class ValidateHolds1767227400000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE users VALIDATE CONSTRAINT ck_users_credits_held');
  }

  /** The constraint stays validated; undoing the previous step removes it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
