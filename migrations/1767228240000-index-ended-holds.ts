import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Finds the holds of a user by the status in which they ended, however many others there are. */
export class IndexEndedHolds1767228240000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`CREATE INDEX ix_credit_holds_ended ON credit_holds
      (user_id, status, created_at DESC NULLS LAST, id DESC) WHERE status <> 'OPEN'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX ix_credit_holds_ended');
  }
}
