import { randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import type { DataSource } from 'typeorm';

export interface Explained {
  readonly text: string;
  readonly nodes: string[];
  /** The indexes that it reads. */
  readonly indexes: string[];
  /** How many of 20 runs of the prepared statement were planned anew. */
  readonly planned: number;
}

export interface Sent {
  /** Of a prepared statement. */
  readonly name?: string;
  readonly text: string;
  readonly values: unknown[];
}

/** The different statements that the pool sends while `work` runs, in their order. */
export async function statementsOf(database: DataSource, work: () => Promise<unknown>): Promise<Sent[]> {
  const { master: pool } = database.driver as unknown as { master: NodeJS.EventEmitter };
  const seen = new Map<string, Sent>();
  const spied = new Map<{ query: (...given: unknown[]) => unknown }, (...given: unknown[]) => unknown>();
  const spy = (client: { query: (...given: unknown[]) => unknown }): void => {
    const { query } = client;
    if (spied.has(client)) return;
    spied.set(client, query);
    client.query = (...given: unknown[]) => {
      const [statement, parameters = []] = given as [string | Sent, unknown[]?];
      const sent = typeof statement === 'string' ? { text: statement, values: parameters } : statement;
      seen.set(sent.text, sent);
      return query.apply(client, given);
    };
  };
  pool.on('acquire', spy);
  await work();
  pool.off('acquire', spy);
  for (const [client, query] of spied) client.query = query;
  return [...seen.values()];
}

/**
 * The different statements that `work` runs, as the planner would have them for tables of any size.
 */
export async function explain(database: DataSource, work: () => Promise<void>): Promise<Explained[]> {
  const sent = (await statementsOf(database, work)).filter(({ text }) => !text.startsWith('EXPLAIN'));
  const runner = database.createQueryRunner();
  const client = (await runner.connect()) as Client;
  const explained: Explained[] = [];
  await runner.startTransaction();
  await client.query('SET LOCAL enable_seqscan = off'); // tables of a few rows would be read whole, and rightly so
  await client.query('SET LOCAL jit = off'); // the cost of a table that has no index is enormous then
  for (const { text, values } of sent) {
    const { rows } = await client.query(`EXPLAIN (FORMAT JSON) ${text}`, values);
    const name = `explained ${randomUUID()}`;
    for (let run = 0; run < 20; run += 1) await client.query({ name, text, values });
    const prepared = await client.query<{ planned: number }>(
      'SELECT custom_plans::int AS planned FROM pg_prepared_statements WHERE name = $1',
      [name],
    );
    explained.push({
      text,
      nodes: allOf('Node Type', rows),
      indexes: allOf('Index Name', rows),
      planned: prepared.rows[0]?.planned ?? NaN,
    });
  }
  await runner.rollbackTransaction();
  await runner.release();
  return explained;
}

function allOf(name: string, plan: unknown): string[] {
  if (Array.isArray(plan)) return plan.flatMap((part) => allOf(name, part));
  if (typeof plan !== 'object' || plan === null) return [];
  return Object.entries(plan).flatMap(([key, value]) =>
    key === name ? [String(value)] : typeof value === 'object' ? allOf(name, value) : [],
  );
}
