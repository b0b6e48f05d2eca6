import { createHash } from 'node:crypto';
import pg from 'pg';
import { generateApiKey } from '../src/common/api-key-format.js';

/** Number of users whose keys the load uses; SQL creates the other users of a large database. */
export const CALLERS = 960;

/** Creates active users with a key each. @returns the keys */
export async function seedCallers(url: string): Promise<string[]> {
  const keys = Array.from({ length: CALLERS }, () => generateApiKey());
  const column = await digestColumn(url);
  await query(
    url,
    `WITH made AS (
       INSERT INTO users (name, email)
       SELECT 'Caller', 'caller-' || n || '@example.com' FROM generate_series(1, $2) AS n RETURNING id, email),
     numbered AS (SELECT id, row_number() OVER () AS n FROM made)
     INSERT INTO api_keys (user_id, name, expires_at, prefix, ${column})
     SELECT id, 'bench', now() + interval '1 year', 'ua_bench', digest
       FROM numbered JOIN unnest($1::bytea[]) WITH ORDINALITY AS t(digest, n) USING (n)`,
    [keys.map((key) => createHash('sha256').update(key).digest()), CALLERS],
  );
  await query(url, 'VACUUM ANALYZE');
  return keys;
}

/** Makes the first caller an administrator, and gives each caller credits. @returns their ids */
export async function seedAccounts(url: string): Promise<string[]> {
  await query(url, `UPDATE users SET is_admin = true WHERE email = 'caller-1@example.com'`);
  const rows = await query<{ user_id: string }>(
    url,
    `WITH given AS (UPDATE users SET credits_balance = 1000000000 RETURNING id, credits_balance, updated_at)
     INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
     SELECT updated_at, id, credits_balance, credits_balance, 'first', 'MANUAL_ADJUSTMENT', 'APPLICATION' FROM given
     RETURNING user_id`,
  );
  await query(url, 'VACUUM ANALYZE');
  return rows.map(({ user_id }) => user_id);
}

/**
 * Compares the ledger with the responses: there must be an entry for each, balances must be the
 * sums of the entries, and each `balance_after` the sum up to its entry.
 *
 * @param run the prefix of the transaction ids
 * @throws when anything differs
 */
export async function checkLedger(url: string, run: string, answered: number): Promise<void> {
  const [row] = await query<{ entries: number; differences: number }>(
    url,
    `SELECT (SELECT count(*)::int FROM credit_entries WHERE starts_with(transaction_id, $1)) AS entries,
            (SELECT count(*)::int
               FROM (SELECT balance_after, sum(credits) OVER (PARTITION BY user_id ORDER BY created_at, id) AS expected
                       FROM credit_entries) AS running
              WHERE balance_after <> expected)
            + (SELECT count(*)::int
                 FROM users
                 LEFT JOIN (SELECT user_id, sum(credits) AS credits FROM credit_entries GROUP BY user_id) AS sums
                   ON user_id = id
                WHERE credits_balance <> coalesce(credits, 0)) AS differences`,
    [run],
  );
  if (row?.entries !== answered || row.differences !== 0)
    throw new Error(`${String(answered)} movements were answered, and the ledger has ${JSON.stringify(row)}`);
}

/** The name of the column of digests, which differs in versions before 2.0. */
async function digestColumn(url: string): Promise<string> {
  const [row] = await query<{ name: string }>(
    url,
    `SELECT attname AS name FROM pg_attribute WHERE attrelid = 'api_keys'::regclass AND attname IN ('digest', 'secret_digest')`,
  );
  return row?.name ?? 'secret_digest';
}

/** The stored name of the user of each key. */
export async function storedNames(url: string, keys: readonly string[]): Promise<Map<string, string>> {
  const column = await digestColumn(url);
  const rows = await query<{ digest: Buffer; name: string }>(
    url,
    `SELECT ${column} AS digest, users.name FROM api_keys JOIN users ON users.id = user_id WHERE ${column} = ANY ($1)`,
    [keys.map((key) => createHash('sha256').update(key).digest())],
  );
  const byDigest = new Map(rows.map(({ digest, name }) => [digest.toString('hex'), name]));
  return new Map(keys.map((key) => [key, byDigest.get(createHash('sha256').update(key).digest('hex')) ?? '']));
}

export async function query<Row extends object>(url: string, sql: string, parameters: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql, parameters)).rows;
  } finally {
    await client.end();
  }
}
