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

/** The different statements that `work` runs, as the planner would have them for tables of any size. */
export async function explain(database: DataSource, work: () => Promise<void>): Promise<Explained[]> {
  const { master: pool } = database.driver as unknown as { master: NodeJS.EventEmitter };
  const seen = new Map<string, unknown[]>();
  const spy = (client: { query: (...given: unknown[]) => unknown }): void => {
    const { query } = client;
    client.query = (...given: unknown[]) => {
      client.query = query;
      const [statement, parameters = []] = given as [string | { text: string; values: unknown[] }, unknown[]?];
      const { text, values } = typeof statement === 'string' ? { text: statement, values: parameters } : statement;
      if (!text.startsWith('EXPLAIN')) seen.set(text, values);
      return query.apply(client, given);
    };
  };
  pool.on('acquire', spy);
  await work();
  pool.off('acquire', spy);
  const runner = database.createQueryRunner();
  const client = (await runner.connect()) as Client;
  const explained: Explained[] = [];
  await runner.startTransaction();
  await client.query('SET LOCAL enable_seqscan = off'); // tables of a few rows would be read whole, and rightly so
  for (const [text, values] of seen) {
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
