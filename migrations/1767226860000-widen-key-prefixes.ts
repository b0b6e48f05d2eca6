import type { MigrationInterface, QueryRunner } from 'typeorm';

const BEFORE = '^ua_[0-9A-Za-z]{5}$';
const AFTER = '^[a-z][a-z0-9]{0,11}(_[a-z0-9]{1,8})?_[0-9A-Za-z]{5}$';

/**
 * Makes room for prefixes other than `ua_`. A wider `varchar` rewrites no row and the new
 * constraint reads none (`NOT VALID`), so the table is locked only briefly. Every stored prefix
 * passes the new constraint, which the next step verifies. The old constraint is dropped in the
 * same statement: PostgreSQL would otherwise compare it with every row again, for the new type.
 */
export class WidenKeyPrefixes1767226860000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`ALTER TABLE api_keys DROP CONSTRAINT ck_api_keys_prefix,
      ALTER COLUMN prefix TYPE varchar(27),
      ADD CONSTRAINT ck_api_keys_prefix CHECK (prefix ~ '${AFTER}') NOT VALID`);
  }

  /**
   * Refuses while a live key has another prefix: older versions do not accept it. The wider column
   * and constraint stay for expired and revoked keys, since every change of a row checks the
   * constraint.
   */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query('LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
    const [others] = (await runner.query(
      `SELECT count(*)::int AS keys,
              count(*) FILTER (WHERE revoked_at IS NULL AND expires_at > statement_timestamp())::int AS live
         FROM api_keys WHERE prefix !~ '${BEFORE}'`,
    )) as { keys: number; live: number }[];
    if (others && others.live > 0) {
      throw new Error(
        `${String(others.live)} live keys have a prefix other than ua_, which older versions do not accept: revoke them, and run the command again.`,
      );
    }
    if (others && others.keys > 0) return;
    await runner.query(`ALTER TABLE api_keys DROP CONSTRAINT ck_api_keys_prefix,
      ALTER COLUMN prefix TYPE varchar(8),
      ADD CONSTRAINT ck_api_keys_prefix CHECK (prefix ~ '${BEFORE}')`);
  }
}
