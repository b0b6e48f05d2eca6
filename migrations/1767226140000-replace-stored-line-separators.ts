import type { MigrationInterface, QueryRunner } from 'typeorm';

const ROWS_AT_ONCE = 500;

/**
 * The second step: names that are already stored. Each changed row gets an audit event and a new
 * `version` and `updated_at`, as with any other change. The names are searched for without a lock;
 * only the rows that change are locked, until the commit.
 */
export class ReplaceStoredLineSeparators1767226140000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const found = (await runner.query(`SELECT id FROM users WHERE name COLLATE "C" ~ '[\\u2028\\u2029]'`)) as {
      id: string;
    }[];
    for (let from = 0; from < found.length; from += ROWS_AT_ONCE) {
      const ids = found.slice(from, from + ROWS_AT_ONCE).map(({ id }) => id);
      await runner.query(
        `WITH changed AS (
           UPDATE users u SET name = translate(target.name, chr(8232) || chr(8233), '  '), version = u.version + 1,
                              updated_at = greatest(clock_timestamp(), u.updated_at + interval '1 ms')
             FROM (SELECT id, name FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE) AS target
            WHERE u.id = target.id AND target.name COLLATE "C" ~ '[\\u2028\\u2029]'
            RETURNING u.id, u.updated_at, target.name AS before, u.name AS after)
         INSERT INTO audit_events (created_at, action, user_id, actor, changes)
         SELECT updated_at, 'user.updated', id, 'APPLICATION',
                jsonb_build_object('name', jsonb_build_object('before', before, 'after', after))
           FROM changed`,
        [ids],
      );
    }
  }

  /** The names are not changed back: the audit trail contains the earlier ones. */
  async down(): Promise<void> {
    return Promise.resolve();
  }
}
