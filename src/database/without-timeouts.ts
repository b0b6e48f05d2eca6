import type { ClientBase } from 'pg';
import type { Sql } from 'sql-template-tag';
import type { DataSource, ObjectLiteral } from 'typeorm';

const without = (...timeouts: readonly string[]): string =>
  `SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN (${timeouts.map((name) => `'${name}'`).join(', ')})`;

/**
 * Turns off, for one transaction, the timeouts of work that takes long, which the server, the
 * database, the role or a pooler may set. PostgreSQL has `transaction_timeout` from 17 on.
 */
export const NO_TIMEOUTS = without('statement_timeout', 'transaction_timeout');

/** The same for a transaction that may also be idle for long. */
export const NO_TIMEOUTS_OR_IDLE_TIMEOUT = without(
  'statement_timeout',
  'transaction_timeout',
  'idle_in_transaction_session_timeout',
);

/** Milliseconds for a response: a timeout for servers that do not respond at all. */
const RESPONSE_TIMEOUT_MS = 10 * 60_000;

export type Query = <Row extends ObjectLiteral>(statement: Pick<Sql, 'text' | 'values'>) => Promise<Row[]>;

/**
 * Runs statements that may take long on one connection of the pool, without timeouts, each in its
 * own transaction. JIT is off: the statements read slices, and compiling their expressions takes
 * longer than running them.
 */
export async function withoutTimeouts<T>(database: DataSource, work: (query: Query) => Promise<T>): Promise<T> {
  const runner = database.createQueryRunner();
  try {
    const client = (await runner.connect()) as ClientBase;
    return await work(async <Row extends ObjectLiteral>({ text, values }: Pick<Sql, 'text' | 'values'>) => {
      await runner.startTransaction();
      await runner.query(`SET LOCAL jit = off; ${NO_TIMEOUTS}`);
      const statement = { text, values, query_timeout: RESPONSE_TIMEOUT_MS };
      const { rows } = await client.query<Row>(statement);
      await runner.commitTransaction();
      return rows;
    });
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined); // the first error counts
    throw error;
  } finally {
    await runner.release();
  }
}
