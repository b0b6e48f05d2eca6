import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Adds the scopes of keys; null allows everything. Instances of version 1 would ignore scopes, so
 * the column that their lookup reads is renamed: a forgotten instance authenticates no caller.
 */
export class AddScopes1767226440000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE FUNCTION is_scope_list(scopes text[]) RETURNS boolean
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        AS $$
          SELECT cardinality(scopes) <= 32
             AND coalesce(array_ndims(scopes), 1) = 1
             AND NOT EXISTS (
                   SELECT FROM (SELECT scope, lag(scope) OVER (ORDER BY position) AS previous
                                  FROM unnest(scopes) WITH ORDINALITY AS listed (scope, position)) AS pairs
                    WHERE scope IS NULL
                       OR scope !~ '^[a-z0-9][a-z0-9._:/-]{0,63}$'
                       OR scope COLLATE "C" <= previous COLLATE "C")
        $$`);
    await runner.query(`
      ALTER TABLE api_keys
        ADD COLUMN scopes text[],
        ADD CONSTRAINT ck_api_keys_scopes CHECK (is_scope_list(scopes)) NOT VALID`);
    await runner.query('ALTER TABLE api_keys RENAME COLUMN digest TO secret_digest');
  }

  /** Refuses while a live key has scopes: version 1 would let it do everything. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
    const [row] = (await runner.query(
      `SELECT count(*)::int AS keys FROM api_keys
        WHERE scopes IS NOT NULL AND revoked_at IS NULL AND expires_at > statement_timestamp()`,
    )) as { keys: number }[];
    if (row && row.keys > 0) {
      throw new Error(
        `${String(row.keys)} live keys have scopes, which version 1 would ignore: revoke them, or set their scopes to null, and run the command again.`,
      );
    }
    await runner.query('ALTER TABLE api_keys RENAME COLUMN secret_digest TO digest');
    await runner.query('ALTER TABLE api_keys DROP COLUMN scopes');
    await runner.query('DROP FUNCTION is_scope_list(text[])');
  }
}
