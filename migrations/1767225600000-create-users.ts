import type { MigrationInterface, QueryRunner } from 'typeorm';

/*
 * The pattern in ck_users_name is the rule of src/users/user-name.ts: no control character and no
 * bidirectional control anywhere, and at least one visible character. A text in PostgreSQL contains
 * neither NUL nor surrogates.
 */
const FORBIDDEN = String.raw`\u0001-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069`;
const SPACES = String.raw`\u0020\u00a0\u1680\u2000-\u200a\u2028-\u2029\u202f\u205f\u3000\ufeff`;
/** Shared with the later migration that extends the rule; the text never changes. */
export const INVISIBLE =
  String.raw`\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u2800\u3164\ufdd0-\ufdef` +
  String.raw`\ufe00-\ufe0f\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a` +
  String.raw`\U000e0000-\U000e0fff\ufffe-\uffff\U0001fffe-\U0001ffff\U0002fffe-\U0002ffff\U0003fffe-\U0003ffff` +
  String.raw`\U0004fffe-\U0004ffff\U0005fffe-\U0005ffff\U0006fffe-\U0006ffff\U0007fffe-\U0007ffff\U0008fffe-\U0008ffff` +
  String.raw`\U0009fffe-\U0009ffff\U000afffe-\U000affff\U000bfffe-\U000bffff\U000cfffe-\U000cffff\U000dfffe-\U000dffff` +
  String.raw`\U000efffe-\U000effff\U000ffffe-\U000fffff\U0010fffe-\U0010ffff`;

export class CreateUsers1767225600000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE users (
      id              uuid           CONSTRAINT pk_users PRIMARY KEY DEFAULT gen_random_uuid(),
      created_at      timestamptz(3) NOT NULL DEFAULT statement_timestamp(),
      updated_at      timestamptz(3) NOT NULL DEFAULT statement_timestamp(),
      version         bigint         NOT NULL DEFAULT 1,
      status          varchar(8)     NOT NULL DEFAULT 'ACTIVE'
        CONSTRAINT ck_users_status CHECK (status IN ('ACTIVE', 'INACTIVE')),
      is_admin        boolean        NOT NULL DEFAULT false,
      name            varchar(255)   NOT NULL
        CONSTRAINT ck_users_name CHECK (
          char_length(name) BETWEEN 1 AND 255
          AND name IS NFC NORMALIZED
          AND name COLLATE "C" ~ '^[^${FORBIDDEN}]*[^${FORBIDDEN}${SPACES}${INVISIBLE}][^${FORBIDDEN}]*$'
          AND name COLLATE "C" !~ '^[${SPACES}]|[${SPACES}]$'
        ),
      email           varchar(254)   NOT NULL
        CONSTRAINT ck_users_email CHECK (email ~ '^[!-?A-~]+@[!-?A-~]+$'),
      credits_balance bigint         NOT NULL DEFAULT 0
        CONSTRAINT ck_users_credits_balance CHECK (credits_balance BETWEEN 0 AND 9007199254740991)
    )`);
    // Addresses are ASCII (ck_users_email), so the C collation folds their case the same way everywhere.
    await runner.query('CREATE UNIQUE INDEX uq_users_email ON users (lower(email COLLATE "C"))');
    await runner.query('CREATE INDEX ix_users_newest ON users (created_at DESC, id DESC)');

    // Deactivations of administrators run one after another, so that each sees the result of the
    // others.
    await runner.query(`CREATE FUNCTION refuse_to_lose_the_last_administrator() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM pg_advisory_xact_lock(7573004);
        IF NOT EXISTS (SELECT FROM users WHERE is_admin AND status = 'ACTIVE' AND id <> OLD.id) THEN
          RAISE EXCEPTION 'this is the last active administrator'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_users_last_administrator';
        END IF;
        RETURN NEW;
      END
    $$`);
    await runner.query(`CREATE TRIGGER tr_users_last_administrator BEFORE UPDATE ON users
      FOR EACH ROW WHEN (OLD.is_admin AND OLD.status = 'ACTIVE' AND NOT (NEW.is_admin AND NEW.status = 'ACTIVE'))
      EXECUTE FUNCTION refuse_to_lose_the_last_administrator()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE users');
    await runner.query('DROP FUNCTION refuse_to_lose_the_last_administrator()');
  }
}
