-- The roles of the database, for psql as its superuser: one that owns the tables and migrates them, and one for the instances,
-- which can neither change the schema nor rewrite history. Safe to repeat; then it gives new passwords.

\getenv owner_password OWNER_PASSWORD
\getenv app_password APP_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
  FROM unnest(ARRAY['users_api_owner', 'users_api_app']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec
ALTER ROLE users_api_owner PASSWORD :'owner_password';
ALTER ROLE users_api_app PASSWORD :'app_password';

ALTER DATABASE :"DBNAME" OWNER TO users_api_owner;
GRANT CREATE, USAGE ON SCHEMA public TO users_api_owner WITH GRANT OPTION; -- PostgreSQL 13 and 14 do not give it to the owner
REVOKE CREATE ON SCHEMA public FROM PUBLIC; -- and give this to everybody

-- What a superuser made, where the application has run as one.
SELECT format('ALTER %s OWNER TO users_api_owner', made)
  FROM (SELECT 'TABLE ' || oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e') -- of an extension
        UNION ALL
        SELECT format('STATISTICS public.%I', stxname) FROM pg_statistic_ext WHERE stxnamespace = 'public'::regnamespace) AS theirs (made)
\gexec
