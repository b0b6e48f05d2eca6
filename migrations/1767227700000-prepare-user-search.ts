import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Stores the text by which each user is found in a separate table: an index of names on `users`
 * itself would be written at each change of a name, and so would all other indexes of that table.
 *
 * - A new user gets its text at once. A change of a name or address only adds the user to
 *   `renamed_users`, which has no index; the application replaces the texts later, and a search
 *   reads both.
 * - Statements that raise the version of a user, as those of the application do, must add the user
 *   themselves: one INSERT for a batch costs a quarter of a trigger that runs for each row. The
 *   trigger is for manual changes.
 * - `fold_case` uses a fixed collation, so that its result does not depend on the collation of the
 *   database: PostgreSQL 17's built-in Unicode collation, else that of ICU, else that of the
 *   database.
 * - A later migration fills the tables, so that tables are locked only briefly.
 */
export class PrepareUserSearch1767227700000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(`DO $do$
      DECLARE
        folding text := coalesce(
          (SELECT format('COLLATE pg_catalog.%I', collname)
             FROM unnest(ARRAY['pg_c_utf8', 'und-x-icu']) WITH ORDINALITY AS wanted (name, rank)
             JOIN pg_collation ON collname = name AND collnamespace = 'pg_catalog'::regnamespace
            ORDER BY rank LIMIT 1), '');
      BEGIN
        EXECUTE format($f$
          CREATE FUNCTION fold_case(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
            AS $$ SELECT replace(lower(value %s), U&'\\03c2', U&'\\03c3') $$ $f$, folding);
      END $do$`);
    await runner.query('GRANT EXECUTE ON FUNCTION fold_case(text) TO PUBLIC'); // the default, as for PostgreSQL's own functions

    // With a higher statistics target, the planner knows that a word of one user in a thousand is
    // rare.
    await runner.query(`CREATE TABLE user_search_texts (
      user_id uuid   CONSTRAINT pk_user_search_texts PRIMARY KEY,
      version bigint NOT NULL,
      text    text   NOT NULL
    )`);
    await runner.query('ALTER TABLE user_search_texts ALTER text SET STATISTICS 1000');
    await runner.query('CREATE TABLE renamed_users (user_id uuid NOT NULL)');
    await runner.query(`CREATE FUNCTION keep_user_search_text() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'INSERT' THEN
          INSERT INTO user_search_texts (user_id, version, text)
          VALUES (NEW.id, NEW.version, fold_case(NEW.name || chr(10) || NEW.email))
          ON CONFLICT DO NOTHING;
        ELSE
          INSERT INTO renamed_users (user_id) VALUES (NEW.id);
        END IF;
        RETURN NULL;
      END
    $$`);
    await runner.query(`CREATE TRIGGER tr_users_created AFTER INSERT ON users
      FOR EACH ROW EXECUTE FUNCTION keep_user_search_text()`);
    await runner.query(`CREATE TRIGGER tr_users_renamed AFTER UPDATE ON users
      FOR EACH ROW WHEN (OLD.version = NEW.version AND (OLD.name <> NEW.name OR OLD.email <> NEW.email))
      EXECUTE FUNCTION keep_user_search_text()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TRIGGER tr_users_renamed ON users');
    await runner.query('DROP TRIGGER tr_users_created ON users');
    await runner.query('DROP FUNCTION keep_user_search_text()');
    await runner.query('DROP TABLE renamed_users, user_search_texts');
    await runner.query('DROP FUNCTION fold_case(text)');
  }
}
