import { once } from 'node:events';
import { createGzip } from 'node:zlib';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { DataSource } from 'typeorm';
import { APPLICATION } from '../src/audit-trail/actor.js';
import { AuditEventsRepository, type AuditEventFilter } from '../src/audit/audit-events.repository.js';
import { Counters } from '../src/common/counters/counters.js';
import { CreditsRepository } from '../src/credits/credits.repository.js';
import { dataSourceOptions } from '../src/database/data-source.options.js';
import { runMigrations } from '../src/database/run-migrations.js';
import { STRUCTURES } from './fill.js';
import { query } from './seed.js';

/** Number of users, who have equal shares of the rows, and of months that the rows cover. */
const USERS = 10_000;
const MONTHS = 36;

const CHUNK = 500_000;
const CHANGES = 3_000;
const LISTS = 30;

/** Number of rows that are copied to measure the size of a logical backup. */
const BACKED_UP = 200_000;

/**
 * Measures the cost of append-only data, and whether partitions by month would help: compares
 * `rows` audit events and the same number of credit entries with the same events in partitions, and
 * with a small database.
 *
 * @param serverUrl of a server on which the caller may create databases
 */
export async function measureGrowth(serverUrl: string, rows: number): Promise<void> {
  const create = async (name: string, template = 'template1'): Promise<string> => {
    await query(serverUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
    return Object.assign(new URL(serverUrl), { pathname: `/${name}` }).href;
  };
  const small = await create('small');
  await runMigrations(small);
  await fillGrown(small, USERS);
  const plain = await create('plain');
  await runMigrations(plain);
  await fillGrown(plain, rows);
  const partitioned = await create('partitioned', 'plain');
  const ms = await partition(partitioned);
  console.log(
    `${String(rows)} events and entries; moved into ${String(MONTHS)} partitions in ${(ms / 1000).toFixed(0)} s`,
  );
  const databases = { small, plain, partitioned };

  for (const url of Object.values(databases)) await query(url, 'CHECKPOINT');
  console.log(`\n${String(CHANGES)} changes of a user with their events, one after the other, in alternating rounds`);
  await compareChanges(databases);
  console.log('\nLists of events: milliseconds to plan and to run, medians');
  await compareLists({ plain, partitioned });
  console.log('\nThe ledger, per entry, and what is done with all of it');
  console.table({ small: await ledger(small), large: await ledger(plain) });
  console.log('\nBytes per row, of table and indexes');
  console.table(await sizes(plain));
}

/** Rows of all users in turn, evenly over the months up to now; balances add up. */
async function fillGrown(url: string, rows: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`SET session_replication_role = replica`);
  await client.query(`SET synchronous_commit = off`);
  await client.query(`SET maintenance_work_mem = '512MB'`);
  const { rows: structures } = await client.query<{ drop: string; create: string }>(STRUCTURES);
  for (const { drop } of structures) await client.query(drop);
  await client.query(
    `INSERT INTO users (id, name, email, credits_balance)
     SELECT md5('user ' || n)::uuid, 'User ' || n, 'user-' || n || '@example.com', $2::int / $1::int FROM generate_series(0, $1::int - 1) AS n`,
    [USERS, rows],
  );
  for (let from = 0; from < rows; from += CHUNK)
    await client.query(GROWN, [from, Math.min(from + CHUNK, rows) - 1, rows, USERS, `${String(MONTHS)} months`]);
  for (const { create } of structures.reverse()) await client.query(create);
  await client.query('VACUUM ANALYZE');
  await client.end();
}

const GROWN = `
  WITH made AS (
    SELECT n, md5('user ' || n % $4::int)::uuid AS user_id, now() - $5::interval * (1 - n::float8 / $3::int) AS created_at
      FROM generate_series($1::int, $2::int) AS n),
  events AS (
    INSERT INTO audit_events (id, action, user_id, actor, actor_user_id, actor_key_id, request_id, changes, created_at)
    SELECT id_at(created_at), CASE n % 50 WHEN 0 THEN 'api_key.created' ELSE 'user.updated' END, user_id, 'API_KEY', user_id, user_id,
           gen_random_uuid()::text, '{"name": {"before": "Ada Lovelace", "after": "Ada King"}}', created_at FROM made)
  INSERT INTO credit_entries (id, user_id, credits, balance_after, transaction_id, transaction_type, actor, actor_user_id, actor_key_id, request_id, created_at)
  SELECT id_at(created_at), user_id, 1, n / $4::int + 1, gen_random_uuid()::text, 'VERIFICATION', 'API_KEY', user_id, user_id, gen_random_uuid()::text, created_at
    FROM made`.replaceAll(
  'id_at(created_at)', // like `time_ordered_uuid`, but for an earlier time
  `(lpad(to_hex((date_part('epoch', created_at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid`,
);

/** Moves the events into partitions of one month. @returns the duration in milliseconds */
async function partition(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const start = performance.now();
  const { rows: indexes } = await client.query<{ name: string; definition: string }>(
    `SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
       FROM pg_index WHERE indrelid = 'audit_events'::regclass AND NOT indisprimary`,
  );
  await client.query('ALTER TABLE audit_events RENAME TO plain_events');
  await client.query('ALTER TABLE plain_events DROP CONSTRAINT pk_audit_events');
  for (const { name } of indexes) await client.query(`DROP INDEX ${name}`);
  await client.query(
    `CREATE TABLE audit_events (LIKE plain_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (created_at)`,
  );
  for (let month = 0; month <= MONTHS; month += 1)
    await client.query(
      `DO $$ BEGIN EXECUTE format('CREATE TABLE audit_events_%s PARTITION OF audit_events FOR VALUES FROM (%L) TO (%L)', ${String(month)},
         date_trunc('month', now()) - interval '${String(month)} months', date_trunc('month', now()) - interval '${String(month - 1)} months'); END $$`,
    );
  await client.query(`SET maintenance_work_mem = '512MB'`);
  await client.query('INSERT INTO audit_events SELECT * FROM plain_events');
  await client.query('DROP TABLE plain_events');
  // The partition key must be a part of every unique constraint.
  await client.query('ALTER TABLE audit_events ADD CONSTRAINT pk_audit_events PRIMARY KEY (id, created_at)');
  for (const { definition } of indexes) await client.query(definition);
  await client.query('CREATE STATISTICS st_audit_events_user_id_action (mcv) ON user_id, action FROM audit_events');
  await client.query(`CREATE TRIGGER tr_audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_rewrite_history()`);
  await client.query('VACUUM ANALYZE');
  await client.end();
  return performance.now() - start;
}

/** Like a `PATCH` of a name: the user and its event in one prepared statement. */
const CHANGE = `
  WITH changed AS (UPDATE users SET name = $2, version = version + 1, updated_at = clock_timestamp() WHERE id = $1 RETURNING id)
  INSERT INTO audit_events (action, user_id, actor, actor_user_id, actor_key_id, request_id, changes)
  SELECT 'user.updated', id, 'API_KEY', id, id, $2, jsonb_build_object('name', jsonb_build_object('after', $2::text)) FROM changed`;

async function compareChanges(databases: Readonly<Record<string, string>>): Promise<void> {
  const names = Object.keys(databases);
  const clients = await Promise.all(
    Object.values(databases).map(async (url) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      return client;
    }),
  );
  const seen = names.map((): number[] => []);
  const wal = names.map(() => 0);
  const rounds = 10;
  for (let round = 0; round < rounds; round += 1)
    for (const [index, client] of clients.entries()) {
      const before = await walPosition(client);
      for (let n = 0; n < CHANGES / rounds; n += 1) {
        const user = (n * 7919 + round * 104_729) % USERS;
        const id = (await client.query<{ id: string }>(`SELECT md5('user ' || $1::int)::uuid AS id`, [user])).rows[0]
          ?.id;
        const start = performance.now();
        await client.query({ name: 'change', text: CHANGE, values: [id, `Name ${String(round)} ${String(n)}`] });
        seen[index]?.push(performance.now() - start);
      }
      wal[index] = (wal[index] ?? 0) + (await walPosition(client)) - before;
    }
  for (const client of clients) await client.end();
  console.table(
    Object.fromEntries(
      names.map((name, index) => {
        const durations = (seen[index] ?? []).sort((a, b) => a - b);
        const at = (share: number): string => (durations[Math.floor(durations.length * share)] ?? NaN).toFixed(2);
        const bytes = ((wal[index] ?? NaN) / CHANGES).toFixed(0);
        return [name, { 'p50 ms': at(0.5), 'p99 ms': at(0.99), 'bytes of WAL': bytes }];
      }),
    ),
  );
}

const walPosition = async (client: pg.Client): Promise<number> =>
  Number((await client.query<{ at: string }>(`SELECT pg_current_wal_insert_lsn() - '0/0' AS at`)).rows[0]?.at);

interface Plan {
  readonly 'QUERY PLAN': readonly [{ readonly 'Planning Time': number; readonly 'Execution Time': number }];
}

/** Compares the first statement of each list, which reads the rows, without the count. */
async function compareLists(databases: Readonly<Record<string, string>>): Promise<void> {
  const user = (await query<{ id: string }>(databases.plain ?? '', `SELECT md5('user 77')::uuid AS id`))[0]?.id ?? '';
  const lists: readonly (readonly [string, AuditEventFilter])[] = [
    ['all', {}],
    ['action', { action: 'api_key.created' }],
    ['user_id', { userId: user }],
    ['user_id, action', { userId: user, action: 'api_key.created' }],
    ['actor_key_id', { actorKeyId: user }],
  ];
  const table: Record<string, Record<string, string>> = {};
  for (const [name, url] of Object.entries(databases)) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    for (const [title, filter] of lists) {
      const plans: { planning: number; execution: number }[] = [];
      for (let time = 0; time < LISTS; time += 1) {
        let isFirst = true;
        const explaining = {
          query: async (text: string, values: unknown[]) => {
            if (!isFirst) return [];
            isFirst = false;
            const { rows } = await client.query<Plan>(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values);
            const plan = rows[0]?.['QUERY PLAN'][0];
            plans.push({ planning: plan?.['Planning Time'] ?? NaN, execution: plan?.['Execution Time'] ?? NaN });
            return [];
          },
        } as unknown as DataSource;
        await new AuditEventsRepository(explaining).findPage(filter, { limit: 25, offset: 0, after: null });
      }
      const middle = (pick: (plan: (typeof plans)[number]) => number): string =>
        (plans.map(pick).sort((a, b) => a - b)[LISTS / 2] ?? NaN).toFixed(2);
      table[title] = {
        ...table[title],
        [`${name}: plan`]: middle(({ planning }) => planning),
        [`${name}: run`]: middle(({ execution }) => execution),
      };
    }
    await client.end();
  }
  console.table(table);
}

async function ledger(url: string): Promise<Record<string, string>> {
  const database = await new DataSource(dataSourceOptions(url)).initialize();
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const before = await walPosition(client);
  const movements = new CreditsRepository(database, new Counters());
  const move = async (n: number): Promise<unknown> => {
    const userId =
      (await query<{ id: string }>(url, `SELECT md5('user ' || $1::int)::uuid AS id`, [n % USERS]))[0]?.id ?? '';
    return movements.move({
      userId,
      kind: 'move',
      credits: 1,
      hold: null,
      transactionId: `m-${String(n)}`,
      transactionType: 'GROWTH',
      apiKeyId: null,
      by: APPLICATION,
    });
  };
  const count = 500;
  const moving = await timed(async () => {
    for (let n = 0; n < count; n += 1) await move(n * 17);
  });
  const bytes = ((await walPosition(client)) - before) / count;
  const reconciling = await timed(async () => {
    const found = await movements.findDifferences(() => undefined);
    if (found.length > 0) throw new Error(`${String(found.length)} differences`);
  });
  const vacuuming = await timed(() => client.query('VACUUM (ANALYZE) credit_entries'));
  const freezing = await timed(() => client.query('VACUUM (FREEZE) credit_entries'));
  const backup = await backedUp(client);
  await client.end();
  await database.destroy();
  return {
    'ms of a movement': (moving / count).toFixed(2),
    'bytes of WAL': bytes.toFixed(0),
    'reconcile s': (reconciling / 1000).toFixed(1),
    'vacuum s': (vacuuming / 1000).toFixed(1),
    'freeze s': (freezing / 1000).toFixed(1),
    'bytes of a dump': backup,
  };
}

/** Bytes of an entry as text and compressed, as in `pg_dump --format=custom`. */
async function backedUp(client: pg.Client): Promise<string> {
  const rows = client.query(copyTo(`COPY (SELECT * FROM credit_entries LIMIT ${String(BACKED_UP)}) TO STDOUT`));
  const zip = createGzip();
  let [bytes, zipped] = [0, 0];
  rows.on('data', (chunk: Buffer) => (bytes += chunk.length));
  zip.on('data', (chunk: Buffer) => (zipped += chunk.length));
  rows.pipe(zip);
  await once(zip, 'end');
  return `${(bytes / rows.rowCount).toFixed(0)}, ${(zipped / rows.rowCount).toFixed(0)} compressed`;
}

async function sizes(url: string): Promise<Record<string, Record<string, string>>> {
  const rows = await query<{ name: string; bytes: string; rows: string }>(
    url,
    `SELECT c.oid::regclass::text AS name, pg_relation_size(c.oid) AS bytes, t.reltuples AS rows
       FROM pg_class t LEFT JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid IN (t.oid, i.indexrelid)
      WHERE t.relname IN ('audit_events', 'credit_entries') AND t.relkind = 'r' GROUP BY c.oid, t.oid, t.relname, t.reltuples
      ORDER BY t.relname, c.relkind DESC, 1`,
  );
  return Object.fromEntries(
    rows.map((row) => [row.name, { bytes: (Number(row.bytes) / Number(row.rows)).toFixed(0) }]),
  );
}
