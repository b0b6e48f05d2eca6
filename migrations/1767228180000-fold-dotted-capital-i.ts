import type { MigrationInterface, QueryRunner } from 'typeorm';

/** As in the migration prepare-user-search, with the dot of U+0130 removed if `isDotRemoved`. */
const foldCase = (isDotRemoved: boolean): string => `DO $do$
  DECLARE
    folding text := coalesce(
      (SELECT format('COLLATE pg_catalog.%I', collname)
         FROM unnest(ARRAY['pg_c_utf8', 'und-x-icu']) WITH ORDINALITY AS wanted (name, rank)
         JOIN pg_collation ON collname = name AND collnamespace = 'pg_catalog'::regnamespace
        ORDER BY rank LIMIT 1), '');
  BEGIN
    EXECUTE format($f$
      CREATE OR REPLACE FUNCTION fold_case(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
        AS $$ SELECT ${isDotRemoved ? `replace(${SIGMAS}, U&'i\\0307', 'i')` : SIGMAS} $$ $f$, folding);
  END $do$`;

const SIGMAS = `replace(lower(value %s), U&'\\03c2', U&'\\03c3')`;

/**
 * Finds a capital I with a dot (U+0130) by a small i on each version of PostgreSQL: ICU's collation,
 * which `fold_case` uses before PostgreSQL 17, makes an i and a combining dot of it.
 */
export class FoldDottedCapitalI1767228180000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(foldCase(true));
    await runner.query(
      `UPDATE user_search_texts SET text = replace(text, U&'i\\0307', 'i') WHERE text LIKE U&'%i\\0307%'`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(foldCase(false));
    await runner.query(`UPDATE user_search_texts AS texts SET text = fold_case(users.name || chr(10) || users.email)
      FROM users WHERE users.id = texts.user_id AND users.version = texts.version AND users.name LIKE U&'%\\0130%'`);
  }
}
