import type { ClientBase } from 'pg';
import type { DataSource, ObjectLiteral } from 'typeorm';

/** Milliseconds, in which the server must say something at last: for one that is gone without a word. */
const PATIENCE_MS = 10 * 60_000;

export type Query = <Row extends ObjectLiteral>(text: string, values: unknown[]) => Promise<Row[]>;

/**
 * Lends a connection of the pool for statements that may take long, whose other statements may not. Each is a transaction of its
 * own.
 */
export async function withoutTimeouts<T>(database: DataSource, work: (query: Query) => Promise<T>): Promise<T> {
  const runner = database.createQueryRunner();
  try {
    const client = (await runner.connect()) as ClientBase;
    return await work(async <Row extends ObjectLiteral>(text: string, values: unknown[]) => {
      await runner.startTransaction();
      await runner.query('SET LOCAL statement_timeout = 0');
      const patient = { text, values, query_timeout: PATIENCE_MS };
      const { rows } = await client.query<Row>(patient);
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
