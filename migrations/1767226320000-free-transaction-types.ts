import type { MigrationInterface, QueryRunner } from 'typeorm';

const LISTED = `transaction_type IN ('MANUAL_ADJUSTMENT', 'NEW_USER_CREDIT', 'FINE_TUNING_JOB', 'STRIPE_CHECKOUT')`;

/**
 * An API product may choose its own types of movements. The new constraint reads no stored entry
 * (`NOT VALID`), so the table is locked only briefly. Every entry that the old constraint allowed
 * passes it, which the next step verifies.
 */
export class FreeTransactionTypes1767226320000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`ALTER TABLE credit_entries DROP CONSTRAINT ck_credit_entries_transaction_type,
      ADD CONSTRAINT ck_credit_entries_transaction_type
        CHECK (transaction_type COLLATE "C" ~ '^[A-Z][A-Z0-9_]{0,31}$') NOT VALID`);
  }

  /** Entries are never changed, so those of other types stay; only new entries are then refused. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`ALTER TABLE credit_entries DROP CONSTRAINT ck_credit_entries_transaction_type,
      ADD CONSTRAINT ck_credit_entries_transaction_type CHECK (${LISTED}) NOT VALID`);
    const [other] = (await runner.query(`SELECT FROM credit_entries WHERE NOT ${LISTED} LIMIT 1`)) as unknown[];
    if (other === undefined)
      await runner.query('ALTER TABLE credit_entries VALIDATE CONSTRAINT ck_credit_entries_transaction_type');
  }
}
