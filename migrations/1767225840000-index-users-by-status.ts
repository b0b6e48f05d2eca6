import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Without this index, the list of users with a rare status would scan all other users. */
export class IndexUsersByStatus1767225840000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX ix_users_status_newest ON users (status, created_at DESC, id DESC)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX ix_users_status_newest');
  }
}
