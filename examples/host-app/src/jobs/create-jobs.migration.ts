import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateJobs1767226000000 implements MigrationInterface {
  readonly name = 'CreateJobs1767226000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE jobs (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        user_id uuid NOT NULL REFERENCES users,
        prompt text NOT NULL,
        cost int NOT NULL)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE jobs');
  }
}
