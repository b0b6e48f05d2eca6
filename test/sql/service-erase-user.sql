SELECT quote_ident(current_user) AS role, relowner::regrole::text AS owner, pg_has_role(relowner, 'USAGE') AS owns
       FROM pg_class WHERE oid = $1::regclass;

START TRANSACTION;

SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout');

SELECT erase_user($1, $2) AS erased;

COMMIT;
