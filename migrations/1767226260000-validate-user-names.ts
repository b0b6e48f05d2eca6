import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The fourth step: reads every name, while requests continue to read and write names. */
export class ValidateUserNames1767226260000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE users VALIDATE CONSTRAINT ck_users_name');
  }

  /** The constraint stays validated; undoing the previous step replaces it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
