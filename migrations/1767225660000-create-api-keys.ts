import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateApiKeys1767225660000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE api_keys (
      id           uuid           CONSTRAINT pk_api_keys PRIMARY KEY DEFAULT gen_random_uuid(),
      created_at   timestamptz(3) NOT NULL DEFAULT statement_timestamp(),
      last_used_at timestamptz(3),
      expires_at   timestamptz(3) NOT NULL,
      revoked_at   timestamptz(3),
      user_id      uuid           NOT NULL CONSTRAINT fk_api_keys_user_id REFERENCES users (id) ON DELETE RESTRICT,
      name         varchar(255)   NOT NULL
        CONSTRAINT ck_api_keys_name CHECK (name ~ '^[a-z0-9-]{1,255}$' AND name <> 'current'),
      prefix       varchar(8)     NOT NULL
        CONSTRAINT ck_api_keys_prefix CHECK (prefix ~ '^ua_[0-9A-Za-z]{5}$'),
      digest       bytea          NOT NULL CONSTRAINT uq_api_keys_digest UNIQUE
        CONSTRAINT ck_api_keys_digest CHECK (octet_length(digest) = 32),
      CONSTRAINT uq_api_keys_user_id_name UNIQUE (user_id, name)
    )`);
    await runner.query('CREATE INDEX ix_api_keys_newest ON api_keys (user_id, created_at DESC, id DESC)');

    // Secrets that a rotation replaced, for as long as they remain valid together with the new one.
    await runner.query(`CREATE TABLE superseded_secrets (
      digest        bytea          CONSTRAINT pk_superseded_secrets PRIMARY KEY
        CONSTRAINT ck_superseded_secrets_digest CHECK (octet_length(digest) = 32),
      api_key_id    uuid           NOT NULL CONSTRAINT fk_superseded_secrets_api_key_id REFERENCES api_keys (id) ON DELETE RESTRICT,
      superseded_at timestamptz(3) NOT NULL,
      expires_at    timestamptz(3) NOT NULL
    )`);
    await runner.query('CREATE INDEX ix_superseded_secrets_api_key_id ON superseded_secrets (api_key_id)');

    // The owner's row is locked first, so that concurrent creations run one after another and each
    // counts the others.
    await runner.query(`CREATE FUNCTION refuse_too_many_active_api_keys() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM FROM users WHERE id = NEW.user_id FOR NO KEY UPDATE;
        IF 100 <= (SELECT count(*) FROM api_keys
                    WHERE user_id = NEW.user_id AND revoked_at IS NULL AND expires_at > statement_timestamp()) THEN
          RAISE EXCEPTION 'the user has 100 active API keys' USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_api_keys_active_limit';
        END IF;
        RETURN NEW;
      END
    $$`);
    await runner.query(`CREATE TRIGGER tr_api_keys_active_limit BEFORE INSERT ON api_keys
      FOR EACH ROW EXECUTE FUNCTION refuse_too_many_active_api_keys()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE superseded_secrets');
    await runner.query('DROP TABLE api_keys');
    await runner.query('DROP FUNCTION refuse_too_many_active_api_keys()');
  }
}
