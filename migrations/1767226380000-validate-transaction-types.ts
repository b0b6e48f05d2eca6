import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Reads every entry, while requests continue to read and write entries. */
export class ValidateTransactionTypes1767226380000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE credit_entries VALIDATE CONSTRAINT ck_credit_entries_transaction_type');
  }

  /** The constraint stays validated; undoing the previous step replaces it. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
