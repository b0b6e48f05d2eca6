import type { MigrationInterface } from 'typeorm';

/**
 * Refuses a schema in which another application has a table of that name, before the first
 * statement that would fail for it. Changes nothing, so it also passes where the tables are ours.
 */
export class RefuseOtherTables1767225540000 implements MigrationInterface {
  async up(runner: { query(statement: string): Promise<unknown> }): Promise<void> {
    const [row] = (await runner.query(
      `SELECT to_regclass('users') IS NOT NULL
          AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('users') AND attname = 'credits_balance') AS other`,
    )) as { other: boolean }[];
    if (row?.other) {
      throw new Error(
        "The database has a table users that is not UsersApiModule's: give the module another schema by the option dataSource, whose connection has a name and extra: { options: '-c search_path=accounts' }.",
      );
    }
  }

  async down(): Promise<void> {
    return Promise.resolve();
  }
}
