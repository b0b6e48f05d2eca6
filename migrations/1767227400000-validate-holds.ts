import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Reads every user, while requests go on reading and writing them. */
export class ValidateHolds1767227400000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE users VALIDATE CONSTRAINT ck_users_credits_held');
  }

  /** The constraint stays as valid as it is; undoing the step before removes it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
