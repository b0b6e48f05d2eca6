import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Reads every entry, while requests go on reading and writing them. */
export class ValidateTransactionTypes1767226380000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE credit_entries VALIDATE CONSTRAINT ck_credit_entries_transaction_type');
  }

  /** The constraint stays as valid as it is; undoing the step before replaces it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
