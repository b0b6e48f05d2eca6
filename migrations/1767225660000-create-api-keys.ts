import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateApiKeys1767225660000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE api_keys (
      id         uuid           CONSTRAINT pk_api_keys PRIMARY KEY DEFAULT gen_random_uuid(),
      created_at timestamptz(3) NOT NULL DEFAULT statement_timestamp(),
      expires_at timestamptz(3) NOT NULL,
      revoked_at timestamptz(3),
      user_id    uuid           NOT NULL CONSTRAINT fk_api_keys_user_id REFERENCES users (id) ON DELETE RESTRICT,
      name       varchar(255)   NOT NULL
        CONSTRAINT ck_api_keys_name CHECK (name ~ '^[a-z0-9-]{1,255}$' AND name <> 'current'),
      prefix     varchar(8)     NOT NULL
        CONSTRAINT ck_api_keys_prefix CHECK (prefix ~ '^ua_[0-9A-Za-z]{5}$'),
      digest     bytea          NOT NULL CONSTRAINT uq_api_keys_digest UNIQUE
        CONSTRAINT ck_api_keys_digest CHECK (octet_length(digest) = 32),
      CONSTRAINT uq_api_keys_user_id_name UNIQUE (user_id, name)
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE api_keys');
  }
}
