import sql, { type Sql } from 'sql-template-tag';
import type { Search } from '../database/search.js';

/** Fewer characters have no trigram, and would match most users. */
export const MIN_SEARCH_LENGTH = 3;
/** The length of the longest name. */
export const MAX_SEARCH_LENGTH = 255;

/** Without control characters, since no name and no address contains one. */
export const SEARCH_PATTERN = '^[^\\x00-\\x1f\\x7f-\\x9f]*$';

/** Whether a text may be searched for. Its length is measured in code points, in NFC. */
export function isSearch(text: unknown): text is string {
  if (typeof text !== 'string' || !text.isWellFormed() || /\p{Cc}/u.test(text)) return false;
  const { length } = Array.from(text.normalize('NFC'));
  return length >= MIN_SEARCH_LENGTH && length <= MAX_SEARCH_LENGTH;
}

/**
 * The users whose name or address contains a text, whatever its letter case. A line feed separates
 * the two, since no search text contains one.
 *
 * For the users in `renamed_users`, `user_search_texts` may be outdated, so the two tables only
 * yield users that may match.
 */
export function searchFor(text: string): Search {
  const matches = (value: Sql): Sql =>
    sql`${value} LIKE '%' || fold_case(${withoutWildcards(text.normalize('NFC'))}) || '%'`;
  const indexed = matches(sql`text`);
  return {
    condition: matches(sql`fold_case(name || chr(10) || email)`),
    candidates: sql`SELECT user_id FROM user_search_texts WHERE ${indexed} UNION ALL SELECT user_id FROM renamed_users`,
    indexed: { table: 'user_search_texts', filter: indexed },
  };
}

const withoutWildcards = (text: string): string => text.replace(/[\\%_]/g, '\\$&');

/**
 * Whether the index of the texts exists: without the right to create an extension, it does not.
 * Also the planner's estimate of the number of users.
 */
export const SEARCHABLE = sql`SELECT reltuples AS users,
       EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('ix_user_search_texts_text') AND indisvalid) AS searchable
  FROM pg_class
 WHERE oid = to_regclass('users')`;

/** Whether the texts of some users are to be replaced. Writes nothing. */
export const HAS_RENAMED = sql`SELECT EXISTS (SELECT FROM renamed_users) AS renamed`;

/**
 * Maximum number of users whose texts one statement replaces: some hundred milliseconds of work.
 */
export const REPLACED_TOGETHER = 1_000;

/**
 * Replaces the texts of renamed users. Of two statements for one user, the one with the older
 * version changes nothing, so they may run at the same time.
 */
export const REPLACE_TEXTS = sql`WITH renamed AS (
    DELETE FROM renamed_users
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM renamed_users LIMIT ${REPLACED_TOGETHER}))
    RETURNING user_id),
  replaced AS (
    INSERT INTO user_search_texts AS stored (user_id, version, text)
    SELECT id, version, fold_case(name || chr(10) || email)
      FROM users
     WHERE id = ANY (ARRAY(SELECT user_id FROM renamed))
    ON CONFLICT (user_id) DO UPDATE
       SET version = excluded.version, text = excluded.text
     WHERE stored.version <= excluded.version AND stored.text <> excluded.text)
  SELECT count(*)::int AS renamed FROM renamed`;

/** Adds the texts of all users, if there are none yet. */
export const FILL_SEARCH_TEXTS = sql`INSERT INTO user_search_texts (user_id, version, text)
  SELECT id, version, fold_case(name || chr(10) || email) FROM users`;
