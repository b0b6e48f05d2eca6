import pg from 'pg';

/** Rows of each statement: few enough that progress is reported often. */
const CHUNK = 500_000;

/**
 * One user has 1/`HEAVY_SHARE` of all entries and events: lists of one user must be fast as well.
 */
const HEAVY_SHARE = 10;
export const HEAVY_USER = '00000000-0000-4000-8000-000000000001';

/**
 * Fills a migrated database with users and the same number of keys, audit events and consistent
 * credit entries. Constraints and indexes are dropped before and created again after the rows, and
 * triggers do not fire, which takes a tenth of the time.
 *
 * @param say called with progress messages
 */
export async function fill(url: string, users: number, say: (message: string) => void): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const run = (sql: string, parameters: unknown[] = []): Promise<unknown> => client.query(sql, parameters);
  try {
    await run(`SET session_replication_role = replica`);
    await run(`SET synchronous_commit = off`);
    await run(`SET maintenance_work_mem = '1GB'`);
    const { rows: structures } = await client.query<{ drop: string; create: string }>(STRUCTURES);
    for (const { drop } of structures) await run(drop);

    const heavy = Math.ceil(users / HEAVY_SHARE);
    await run(
      `INSERT INTO users (id, name, email, credits_balance, created_at) VALUES ($1, 'Heavy', 'heavy@example.com', $2, now())`,
      [HEAVY_USER, heavy],
    );
    await run(
      `INSERT INTO audit_events (action, user_id, actor, changes, created_at)
       SELECT 'user.updated', $1, 'APPLICATION', '{"name": {"after": "Heavy", "before": "heavy"}}',
              now() - ($3::int + n) * interval '1 s' -- before those of all others
         FROM generate_series(1, $2::int) AS n`,
      [HEAVY_USER, heavy, users],
    );
    await run(
      `INSERT INTO credit_entries (user_id, credits, balance_after, transaction_id, transaction_type, actor, created_at)
       SELECT $1, 1, n, 'fill-' || n, 'MANUAL_ADJUSTMENT', 'APPLICATION', now() - ($2::int - n) * interval '1 s'
         FROM generate_series(1, $2::int) AS n`,
      [HEAVY_USER, heavy],
    );
    for (let from = 1; from <= users; from += CHUNK) {
      await run(ROWS, [from, Math.min(from + CHUNK - 1, users), users]);
      say(`${String(Math.min(from + CHUNK - 1, users))} of ${String(users)} users`);
    }
    // The triggers that maintain the texts have not run.
    await run(`INSERT INTO user_search_texts SELECT id, version, fold_case(name || chr(10) || email) FROM users`);
    structures.reverse();
    for (const [index, { create }] of structures.entries()) {
      say(`index or constraint ${String(index + 1)} of ${String(structures.length)}`);
      await run(create);
    }
    say('VACUUM ANALYZE');
    await run('VACUUM ANALYZE');
    await run('CHECKPOINT');
  } finally {
    await client.end();
  }
}

/** Twenty names, so that each is frequent. */
const FIRST_NAMES =
  'Ada Alan Barbara Claude Dorothy Edsger Frances Grace Hedy Ivan Joan Katherine Linus Margaret Niklaus Olga Peter Radia Sophie Tim'.split(
    ' ',
  );
/** Surnames consist of three syllables: 27,000 surnames, so that each is rare. */
const SYLLABLES =
  'ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo zu bra cle dri flo gru kle pri sto tra vul'.split(' ');

const listOf = (words: readonly string[]): string => words.map((word) => `'${word}'`).join();

const ROWS = `
  WITH made AS (
    INSERT INTO users (name, email, status, credits_balance, created_at, updated_at)
    SELECT (ARRAY[${listOf(FIRST_NAMES)}])[1 + n % ${String(FIRST_NAMES.length)}] || ' ' ||
           initcap((SELECT string_agg(syllable, '' ORDER BY place)
                      FROM (SELECT place, (ARRAY[${listOf(SYLLABLES)}])[1 + abs(hashint4(n * 4 + place)) % ${String(SYLLABLES.length)}] AS syllable
                              FROM generate_series(1, 3) AS place) AS surname)),
           'user-' || n || '@example.com', CASE WHEN n > $3::int * 0.9 THEN 'INACTIVE' ELSE 'ACTIVE' END, 1, -- the oldest
           now() - n * interval '1 s', now() - n * interval '1 s'
      FROM generate_series($1::int, $2::int) AS n
    RETURNING id, name, created_at),
  keys AS (
    INSERT INTO api_keys (user_id, name, expires_at, prefix, secret_digest, created_at)
    SELECT id, 'fill', now() + interval '1 year', 'ua_bench', sha256(id::text::bytea), created_at FROM made),
  events AS (
    INSERT INTO audit_events (action, user_id, actor, changes, created_at)
    SELECT 'user.created', id, 'APPLICATION', jsonb_build_object('name', jsonb_build_object('after', name)), created_at FROM made)
  INSERT INTO credit_entries (user_id, credits, balance_after, transaction_id, transaction_type, actor, created_at)
  SELECT id, 1, 1, 'new-user-credit', 'NEW_USER_CREDIT', 'APPLICATION', created_at FROM made`;

/**
 * Constraints and indexes in the order in which they are dropped. They are created again in reverse
 * order: foreign keys need the primary keys of other tables.
 */
export const STRUCTURES = `
  SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop,
         format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS create,
         CASE contype WHEN 'f' THEN 1 ELSE 3 END AS rank
    FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace
  UNION ALL
  SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid), 2
    FROM pg_index JOIN pg_class c ON c.oid = indrelid
   WHERE c.relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
   ORDER BY rank`;
