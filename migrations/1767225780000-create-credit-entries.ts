import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateCreditEntries1767225780000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE credit_entries (
      id               uuid           CONSTRAINT pk_credit_entries PRIMARY KEY DEFAULT gen_random_uuid(),
      created_at       timestamptz(3) NOT NULL,
      user_id          uuid           NOT NULL CONSTRAINT fk_credit_entries_user_id REFERENCES users (id) ON DELETE RESTRICT,
      credits          bigint         NOT NULL
        CONSTRAINT ck_credit_entries_credits CHECK (credits <> 0 AND credits BETWEEN -9007199254740991 AND 9007199254740991),
      balance_after    bigint         NOT NULL
        CONSTRAINT ck_credit_entries_balance_after CHECK (balance_after BETWEEN 0 AND 9007199254740991),
      transaction_id   varchar(255)   NOT NULL CONSTRAINT ck_credit_entries_transaction_id CHECK (transaction_id <> ''),
      transaction_type varchar(32)    NOT NULL CONSTRAINT ck_credit_entries_transaction_type
        CHECK (transaction_type IN ('MANUAL_ADJUSTMENT', 'NEW_USER_CREDIT', 'FINE_TUNING_JOB', 'STRIPE_CHECKOUT')),
      actor            varchar(12)    NOT NULL
        CONSTRAINT ck_credit_entries_actor CHECK (actor IN ('API_KEY', 'COMMAND_LINE', 'APPLICATION')),
      actor_user_id    uuid,
      actor_key_id     uuid,
      request_id       varchar(128),
      CONSTRAINT uq_credit_entries_user_id_transaction_id UNIQUE (user_id, transaction_id)
    )`);
    await runner.query('CREATE INDEX ix_credit_entries_newest ON credit_entries (user_id, created_at DESC, id DESC)');
    await runner.query(`CREATE TRIGGER tr_credit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON credit_entries
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE credit_entries');
  }
}
