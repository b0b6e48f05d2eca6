import { setTimeout as sleep } from 'node:timers/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Client, escapeIdentifier } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { getMetadataArgsStorage } from 'typeorm';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';
import { OperatorError } from '../common/errors/operator.error.js';
import { MIGRATIONS } from '../database/migrations.js';
import { NOT_ALLOWED } from '../database/privileges.js';
import { COMMAND_SETTINGS } from '../database/session-settings.js';
import { ENTITIES } from '../entities.js';
import { FILL_SEARCH_TEXTS } from '../users/user-search.js';

/** The move was refused or has failed. The message contains the remedy. */
export class MoveError extends OperatorError {}

/** The tables that are moved, each after the tables that it refers to. */
export const MOVED_TABLES: readonly string[] = ENTITIES.map((entity) => {
  const { name } = getMetadataArgsStorage().tables.find(({ target }) => target === entity) ?? {};
  if (name === undefined) throw new Error(`${entity.name} is not the entity of a table`);
  return name;
});

/** Rows by table. */
export type RowCounts = Readonly<Record<string, number>>;

/**
 * Settings for long statements on whole tables, and for the same text format of values on both
 * servers.
 */
const SETTINGS = {
  ...COMMAND_SETTINGS,
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0', // exists from PostgreSQL 14 on
  transaction_timeout: '0', // exists from PostgreSQL 17 on
  TimeZone: 'UTC',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  default_transaction_read_only: 'off', // an interrupted move may have closed the source
};

/**
 * Lets the server end the statement of a command that was killed, which would otherwise keep its
 * locks until it is done. Exists from PostgreSQL 14 on.
 */
const NOTICE_DEAD_CLIENT = `SELECT set_config(name, '1s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'`;

const CONNECT_TIMEOUT_MS = 5_000;

const SEARCH_INDEX = 'ix_user_search_texts_text';

/** The waits for locks on the target's tables, and for sessions of the source that are ending. */
const TARGET_LOCK_TIMEOUT = '5s';
const SESSIONS_TIMEOUT_MS = 3_000;
const POLL_MS = 50;

/** SQLSTATE lock_not_available. */
const LOCK_NOT_AVAILABLE = '55P03';

/** @throws DatabaseUnreachableError */
export async function connect(url: string): Promise<Client> {
  const client = new Client({
    // `pg-copy-streams` needs a socket whose only listener is that of `pg`
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'users-api move',
    keepAlive: true,
  });
  client.on('error', () => undefined); // the current or the next statement fails
  try {
    await client.connect();
    await client.query(
      `SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS wanted (name, value)
         JOIN pg_settings USING (name)`,
      [Object.keys(SETTINGS), Object.values(SETTINGS)],
    );
    await client.query(NOTICE_DEAD_CLIENT).catch(() => undefined); // not supported by every operating system
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw new DatabaseUnreachableError(error);
  }
}

/**
 * Refuses a database whose schema is not that of this version: only known tables and columns are
 * copied.
 *
 * @param name of the database, for the message
 * @throws MoveError
 */
export async function refuseOtherVersion(client: Client, name: 'source' | 'target'): Promise<void> {
  const run = (await exists(client, 'migrations'))
    ? (await client.query<{ name: string }>('SELECT name FROM migrations ORDER BY id')).rows.map((row) => row.name)
    : [];
  const known = MIGRATIONS.map((migration) => migration.name);
  const missing = known.filter((migration) => !run.includes(migration));
  const unknown = run.filter((migration) => !known.includes(migration));
  if (run.length === 0) throw new MoveError(`The ${name} has no tables of the Users API`);
  if (unknown.length > 0)
    throw new MoveError(
      `The ${name} has the migrations ${unknown.join(', ')}, which this version does not know: move it with the version that does.`,
    );
  if (missing.length > 0)
    throw new MoveError(
      `The ${name} lacks the migrations ${missing.join(', ')}: run "npm run migration:run" on it, then move it.`,
    );
}

/**
 * Refuses a target that has rows in a table of the Users API.
 *
 * @throws MoveError
 */
export async function refuseRows(target: Client): Promise<void> {
  for (const table of MOVED_TABLES) {
    if (!(await exists(target, table))) continue;
    const { rows } = await target.query(`SELECT FROM ${table} LIMIT 1`);
    if (rows.length > 0)
      throw new MoveError(`The target has rows in ${table}: a move needs an empty database, and nothing was changed.`);
  }
}

const exists = async (client: Client, table: string): Promise<boolean> => {
  const { rows } = await client.query<{ exists: boolean }>('SELECT to_regclass($1) IS NOT NULL AS exists', [table]);
  return rows[0]?.exists === true;
};

/** The source during a move. */
export interface ClosedSource {
  /** Makes the source writable again, unless it was already read-only before. */
  reopen(): Promise<void>;
}

/**
 * Makes the source read-only for every session that begins from now on, and fails if an earlier
 * session is open: its writes during the move would be lost. Safe to repeat, even after a killed
 * move.
 *
 * @param own the server process ids of this program's sessions
 * @throws MoveError; the source is then unchanged
 */
export async function closeSource(client: Client, own: readonly number[]): Promise<ClosedSource> {
  const wasClosed = await isClosed(client);
  await setReadOnly(client, true);
  const reopen = async (): Promise<void> => {
    if (!wasClosed) await setReadOnly(client, false);
  };
  const others = await otherSessions(client, own);
  if (others.length > 0) {
    await reopen();
    throw new MoveError(
      `The source is in use (${others.join(', ')}): stop the application and whatever else is connected to it, then repeat.`,
    );
  }
  return { reopen };
}

/** Makes a source that a move has closed writable again. Safe to repeat. */
export const reopenSource = (client: Client): Promise<void> => setReadOnly(client, false);

async function isClosed(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ closed: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
                     WHERE datname = current_database() AND setrole = 0
                       AND 'default_transaction_read_only=on' = ANY (setconfig)) AS closed`,
  );
  return rows[0]?.closed === true;
}

async function setReadOnly(client: Client, isReadOnly: boolean): Promise<void> {
  const { rows } = await client.query<{ name: string; role: string }>(
    'SELECT quote_ident(current_database()) AS name, quote_ident(current_user) AS role',
  );
  const { name = '', role = '' } = rows[0] ?? {};
  try {
    await client.query(
      `ALTER DATABASE ${name} ${isReadOnly ? 'SET default_transaction_read_only = on' : 'RESET default_transaction_read_only'}`,
    );
  } catch (error) {
    if ((error as { code?: unknown }).code !== NOT_ALLOWED) throw error;
    throw new MoveError(
      `The role ${role} does not own the source, so it cannot make the source read-only: set DATABASE_URL with the owner of the database.`,
      { cause: error },
    );
  }
}

/**
 * The other sessions by role, such as "2 of app", after waiting up to `SESSIONS_TIMEOUT_MS` for
 * them to end.
 */
async function otherSessions(client: Client, own: readonly number[]): Promise<string[]> {
  const deadline = performance.now() + SESSIONS_TIMEOUT_MS;
  for (;;) {
    const { rows } = await client.query<{ sessions: string }>(
      `SELECT format('%s of %I', count(*), usename) AS sessions FROM pg_stat_activity
        WHERE datname = current_database() AND usename IS NOT NULL AND pid <> ALL ($1) GROUP BY usename ORDER BY usename`,
      [own],
    );
    if (rows.length === 0 || performance.now() > deadline) return rows.map(({ sessions }) => sessions);
    await sleep(POLL_MS);
  }
}

export interface MoveProgress {
  readonly onProgress: (share: number) => void;
  /** Called right before the target commits: if the commit fails, its outcome is unknown. */
  readonly onCommit: () => void;
}

/**
 * Copies every row of one snapshot of the source into the empty tables of the target, in one
 * transaction: after a failure or a kill the target is still empty. Values are copied unchanged;
 * the target checks keys, constraints and foreign keys. Uses a constant amount of memory.
 *
 * @param source closed by `closeSource`
 * @returns the number of rows of each table, counted in both databases
 * @throws MoveError, or the error of a statement
 */
export async function copyDatabase(
  source: Client,
  target: Client,
  { onProgress, onCommit }: MoveProgress,
  signal: AbortSignal,
): Promise<RowCounts> {
  await source.query('BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
  const expected = await countRows(source);
  const total = Object.values(expected).reduce((sum, rows) => sum + rows, 0);
  if (total === 0) throw new MoveError('The source has no rows, so there is nothing to move: start with the target.');

  await target.query('BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE');
  const searchIndex = await holdTables(target);
  await refuseRows(target);
  let copied = 0;
  for (const table of MOVED_TABLES) {
    const columns = await columnsOf(source, table);
    const [reading, writing] = [
      copyTo(`COPY (SELECT ${columns} FROM ${table}) TO STDOUT`),
      copyFrom(`COPY ${table} (${columns}) FROM STDIN`),
    ];
    for (const stream of [reading, writing]) stream.on('error', () => undefined); // errors may also occur after the pipeline has failed
    await pipeline(
      source.query(reading),
      countingLines((rows) => {
        copied += rows;
        onProgress(Math.min(copied / total, 1));
      }),
      target.query(writing),
      { signal },
    );
  }
  await target.query(FILL_SEARCH_TEXTS.text); // derived from the users; the target may fold letter case in another way
  if (searchIndex !== undefined) await target.query(searchIndex);
  const found = await countRows(target);
  const wrong = MOVED_TABLES.filter((table) => found[table] !== expected[table]);
  if (wrong.length > 0)
    throw new MoveError(`The target has different numbers of rows in ${wrong.join(', ')}: nothing was moved.`);
  for (const table of MOVED_TABLES) await target.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`);
  for (const table of [...MOVED_TABLES, 'user_search_texts']) await target.query(`ANALYZE ${table}`); // the lists depend on estimates
  onCommit();
  await target.query('COMMIT');
  await source.query('COMMIT');
  return expected;
}

/**
 * Locks the tables against other writers. Their triggers are disabled until the end of the
 * transaction: they check changes, and the rows have already passed them. The index of the search
 * is dropped: building it for a million users takes a fraction of the time of inserting each text.
 *
 * @returns the statement that creates the index again; undefined if the target has no such index
 * @throws MoveError
 */
async function holdTables(target: Client): Promise<string | undefined> {
  await target.query(`SET LOCAL lock_timeout = '${TARGET_LOCK_TIMEOUT}'`);
  let searchIndex: string | undefined;
  try {
    for (const table of MOVED_TABLES) await target.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
    const { rows } = await target.query<{ definition: string }>(
      'SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index WHERE indexrelid = to_regclass($1)',
      [SEARCH_INDEX],
    );
    searchIndex = rows[0]?.definition;
    await target.query(`DROP INDEX IF EXISTS ${SEARCH_INDEX}`);
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message: string };
    if (code === LOCK_NOT_AVAILABLE)
      throw new MoveError('The target is in use: stop what writes to it, then repeat.', { cause: error });
    if (code === NOT_ALLOWED)
      throw new MoveError(`The role of the target must own its tables (${message}): move with that one.`, {
        cause: error,
      });
    throw error;
  }
  await target.query('SET LOCAL lock_timeout = 0');
  return searchIndex;
}

/** The list of stored columns, whose order may differ between two databases. */
async function columnsOf(client: Client, table: string): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute
      WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`,
    [table],
  );
  return rows.map(({ name }) => escapeIdentifier(name)).join(', ');
}

async function countRows(client: Client): Promise<RowCounts> {
  const counts: Record<string, number> = {};
  for (const table of MOVED_TABLES) {
    const { rows } = await client.query<{ count: string }>(`SELECT count(*) FROM ${table}`);
    counts[table] = Number(rows[0]?.count);
  }
  return counts;
}

/** Passes on COPY's text format and counts its rows, each of which is one line. */
function countingLines(onRows: (rows: number) => void): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      let rows = 0;
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) rows += 1;
      onRows(rows);
      done(null, chunk);
    },
  });
}
