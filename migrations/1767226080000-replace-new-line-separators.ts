import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The first of four steps after which no name contains a line or paragraph separator (U+2028,
 * U+2029). Every movement of credits updates the row of a user, and an update checks every
 * constraint of the row: a name that the new constraint refuses would stop charges. So the names
 * change first, and the constraint follows.
 *
 * This step replaces the separators in names that are written from now on, also by instances of an
 * earlier version. It holds a lock only while the trigger is created.
 */
export class ReplaceNewLineSeparators1767226080000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`CREATE FUNCTION replace_line_separators() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        NEW.name := translate(NEW.name, chr(8232) || chr(8233), '  ');
        RETURN NEW;
      END
    $$`);
    await runner.query(`CREATE TRIGGER tr_users_line_separators BEFORE INSERT OR UPDATE ON users
      FOR EACH ROW WHEN (NEW.name COLLATE "C" ~ '[\\u2028\\u2029]') EXECUTE FUNCTION replace_line_separators()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TRIGGER tr_users_line_separators ON users');
    await runner.query('DROP FUNCTION replace_line_separators()');
  }
}
