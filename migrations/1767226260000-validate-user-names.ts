import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The fourth step: reads every name, while requests go on reading and writing them. */
export class ValidateUserNames1767226260000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE users VALIDATE CONSTRAINT ck_users_name');
  }

  /** The constraint stays as valid as it is; undoing the step before replaces it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
