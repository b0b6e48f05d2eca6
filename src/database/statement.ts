import type { Pool } from 'pg';
import { type DataSource, type ObjectLiteral, QueryFailedError } from 'typeorm';

/**
 * A statement of the request path: prepared once for each connection, under its name, and run on the pool itself, since
 * TypeORM's own `query` costs several times as much as what it passes on.
 */
export class Statement<Row extends ObjectLiteral> {
  /** @param name unique in the application; no two texts may share it */
  constructor(
    private readonly name: string,
    private readonly text: string,
  ) {}

  /** @throws QueryFailedError as TypeORM does, or what the pool throws when it has no connection to give */
  async run(database: DataSource, values: unknown[]): Promise<Row[]> {
    const { master: pool } = database.driver as unknown as { readonly master: Pool };
    const { namedStatements } = pool.options as { readonly namedStatements?: boolean };
    const client = await pool.connect();
    try {
      const query = { text: this.text, values, ...(namedStatements && { name: this.name }) };
      return (await client.query<Row>(query)).rows;
    } catch (error) {
      throw new QueryFailedError(this.text, values, error as Error);
    } finally {
      client.release();
    }
  }
}
