import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Keeps the text by which each user is found in a table of its own, beside `users`: an index of
 * names on `users` itself would be written with each change of a name, and so would all other
 * indexes of that table.
 *
 * - A new user gets its text at once. A change of a name or address only adds the user to
 *   `renamed_users`, which has no index; the application replaces the texts later, and a search
 *   reads both.
 * - Statements that raise the version of a user, as those of the application do, add the user
 *   themselves: one INSERT for a batch costs a fourth of a trigger that runs for each row. The
 *   trigger is for changes by hand.
 * - `fold_case` has a collation of its own, so that the collation of the database does not matter:
 *   that of Unicode which PostgreSQL 17 brings along, or ICU's, or else the database's own.
 * - The tables are filled by a later migration, so that the locks last moments.
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
    await runner.query('GRANT EXECUTE ON FUNCTION fold_case(text) TO PUBLIC'); // as it is by default, like PostgreSQL's own

    // With more values than by default, a word that one user in a thousand has is known to be rare.
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
