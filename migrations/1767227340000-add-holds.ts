import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Adds holds, and the held credits of each account. A column with a constant default rewrites no
 * row, and the constraint is validated by the next migration, so the tables are locked only
 * briefly.
 */
export class AddHolds1767227340000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`
      ALTER TABLE users
        ADD COLUMN credits_held bigint NOT NULL DEFAULT 0,
        ADD CONSTRAINT ck_users_credits_held CHECK (credits_held BETWEEN 0 AND credits_balance) NOT VALID`);
    await runner.query(`CREATE TABLE credit_holds (
      id               uuid           CONSTRAINT pk_credit_holds PRIMARY KEY DEFAULT time_ordered_uuid(),
      created_at       timestamptz(3) NOT NULL,
      user_id          uuid           NOT NULL CONSTRAINT fk_credit_holds_user_id REFERENCES users (id) ON DELETE RESTRICT,
      amount           bigint         NOT NULL
        CONSTRAINT ck_credit_holds_amount CHECK (amount BETWEEN 1 AND 9007199254740991),
      status           varchar(8)     NOT NULL DEFAULT 'OPEN'
        CONSTRAINT ck_credit_holds_status CHECK (status IN ('OPEN', 'CAPTURED', 'VOIDED', 'EXPIRED')),
      expires_at       timestamptz(3) NOT NULL CONSTRAINT ck_credit_holds_expires_at CHECK (expires_at > created_at),
      settled_at       timestamptz(3) CONSTRAINT ck_credit_holds_settled_at CHECK ((settled_at IS NULL) = (status = 'OPEN')),
      captured         bigint
        CONSTRAINT ck_credit_holds_captured CHECK ((captured IS NOT NULL) = (status = 'CAPTURED') AND captured BETWEEN 1 AND amount),
      transaction_id   varchar(255)   NOT NULL CONSTRAINT ck_credit_holds_transaction_id CHECK (transaction_id <> ''),
      transaction_type varchar(32)    NOT NULL CONSTRAINT ck_credit_holds_transaction_type
        CHECK (transaction_type COLLATE "C" ~ '^[A-Z][A-Z0-9_]{0,31}$'),
      api_key_id       uuid,
      actor            varchar(12)    NOT NULL
        CONSTRAINT ck_credit_holds_actor CHECK (actor IN ('API_KEY', 'COMMAND_LINE', 'APPLICATION')),
      actor_user_id    uuid,
      actor_key_id     uuid,
      request_id       varchar(128),
      CONSTRAINT uq_credit_holds_user_id_transaction_id UNIQUE (user_id, transaction_id)
    )`);
    await runner.query('CREATE INDEX ix_credit_holds_newest ON credit_holds (user_id, created_at DESC, id DESC)');
    await runner.query(`CREATE INDEX ix_credit_holds_open ON credit_holds (user_id, expires_at) WHERE status = 'OPEN'`);
    await runner.query(`CREATE TRIGGER tr_credit_holds_settled_once BEFORE UPDATE ON credit_holds
      FOR EACH ROW WHEN (OLD.status <> 'OPEN') EXECUTE FUNCTION refuse_to_rewrite_history()`);
    await runner.query(`CREATE TRIGGER tr_credit_holds_kept BEFORE DELETE OR TRUNCATE ON credit_holds
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history()`);
  }

  /**
   * Deletes all holds. Entries of captured holds stay. Refused while a hold is open, because its
   * credits could then be spent.
   */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query('LOCK TABLE credit_holds IN ACCESS EXCLUSIVE MODE');
    const [open] = (await runner.query(
      `SELECT FROM credit_holds WHERE status = 'OPEN' AND expires_at > clock_timestamp() LIMIT 1`,
    )) as unknown[];
    if (open !== undefined) throw new Error('Holds are open: capture or void them first, or wait until they expire');
    await runner.query('DROP TABLE credit_holds');
    await runner.query('ALTER TABLE users DROP COLUMN credits_held');
  }
}
