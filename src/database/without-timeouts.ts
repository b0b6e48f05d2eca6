import type { ClientBase } from 'pg';
import type { DataSource, ObjectLiteral } from 'typeorm';

/** Milliseconds: the longest that a timer of Node's takes. */
const FOR_EVER_MS = 2 ** 31 - 1;

/** Runs one statement that may take long, on a connection of the pool whose other statements may not. */
export async function withoutTimeouts<Row extends ObjectLiteral>(
  database: DataSource,
  text: string,
  values: unknown[],
): Promise<Row[]> {
  const runner = database.createQueryRunner();
  try {
    await runner.startTransaction();
    await runner.query('SET LOCAL statement_timeout = 0');
    const client = (await runner.connect()) as ClientBase;
    const patient = { text, values, query_timeout: FOR_EVER_MS };
    const { rows } = await client.query<Row>(patient);
    await runner.commitTransaction();
    return rows;
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined); // the first error counts
    throw error;
  } finally {
    await runner.release();
  }
}
