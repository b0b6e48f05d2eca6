SELECT EXISTS (SELECT FROM renamed_users) AS renamed;

START TRANSACTION;

SET LOCAL jit = off; SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout');

WITH renamed AS (
    DELETE FROM renamed_users
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM renamed_users LIMIT $1))
    RETURNING user_id),
  replaced AS (
    INSERT INTO user_search_texts AS stored (user_id, version, text)
    SELECT id, version, fold_case(name || chr(10) || email)
      FROM users
     WHERE id = ANY (ARRAY(SELECT user_id FROM renamed))
    ON CONFLICT (user_id) DO UPDATE
       SET version = excluded.version, text = excluded.text
     WHERE stored.version <= excluded.version AND stored.text <> excluded.text)
  SELECT count(*)::int AS renamed FROM renamed;

COMMIT;
