import type { ClientBase, Pool } from 'pg';
import type { Sql } from 'sql-template-tag';
import { type DataSource, type EntityManager, type ObjectLiteral, QueryFailedError } from 'typeorm';
import { DomainError } from '../common/errors/domain.error.js';

/**
 * A result lacks a row that its statement guarantees. The cause is a fault of the application or of
 * a component such as a pooler or a trigger, never the caller. It is unknown whether something was
 * written.
 */
export class IncompleteResultError extends DomainError {
  readonly kind = 'unavailable';

  constructor() {
    super('The service is temporarily unavailable');
  }
}

/** @throws IncompleteResultError when there is no row */
export function firstOf<T>([row]: readonly T[]): T {
  if (row === undefined) throw new IncompleteResultError();
  return row;
}

const names = new Set<string>();

/**
 * A statement of the request path. It is prepared once for each connection, under its name, and
 * runs directly on the pool, since TypeORM's `query` costs several times as much as the statement.
 */
export class Statement<Row extends ObjectLiteral> {
  private readonly text: string;

  /**
   * @param name unique in the process: a connection has one text for each name
   * @param text its parameters are those of `Rows.prepared`
   */
  constructor(
    private readonly name: string,
    { text, values }: Sql,
  ) {
    if (names.has(name)) throw new Error(`Two statements have the name ${name}`);
    if (values.length > 0) throw new Error(`The statement ${name} has parameters that are not sent with each run`);
    names.add(name);
    this.text = text;
  }

  /**
   * @throws QueryFailedError as TypeORM does, or what the pool throws when no connection is
   *   available
   */
  async run(database: DataSource, values: unknown[]): Promise<Row[]> {
    const { master: pool } = database.driver as unknown as { readonly master: Pool };
    for (let staleConnections = 0; ; staleConnections += 1) {
      try {
        return await this.attempt(pool, values);
      } catch (error) {
        // Each connection that was opened before the migration fails once, and is closed.
        if (!isStale(error) || staleConnections === pool.options.max) throw error;
      }
    }
  }

  /**
   * Runs in the transaction of a manager.
   *
   * @throws QueryFailedError; the transaction has failed then
   */
  async runWithin(manager: EntityManager, values: unknown[]): Promise<Row[]> {
    const { master: pool } = manager.dataSource.driver as unknown as { readonly master: Pool };
    const client = (await manager.queryRunner?.connect()) as ClientBase;
    return this.send(client, pool, values);
  }

  private async attempt(pool: Pool, values: unknown[]): Promise<Row[]> {
    const client = await pool.connect();
    if (client.listenerCount('error') === 0) client.on('error', ignoreError); // a host's, not a `PoolClient`
    let stale = false;
    try {
      return await this.send(client, pool, values);
    } catch (error) {
      stale = isStale(error);
      throw error;
    } finally {
      client.release(stale);
    }
  }

  private async send(client: ClientBase, { options }: Pool, values: unknown[]): Promise<Row[]> {
    const { namedStatements } = options as { readonly namedStatements?: boolean };
    try {
      const query = { text: this.text, values, ...(namedStatements && { name: this.name }) };
      return (await client.query<Row>(query)).rows;
    } catch (error) {
      throw new QueryFailedError(this.text, values, error as Error);
    }
  }
}

/** The statement in flight fails separately. An unhandled 'error' event would end the process. */
const ignoreError = (): void => undefined;

/**
 * The function of PostgreSQL that rejects a cached plan. Unlike the message, its name does not
 * depend on `lc_messages`.
 */
const REJECTS_CACHED_PLAN = 'RevalidateCachedQuery';

/**
 * Whether the connection has lost the prepared statement, or a migration has changed the type of
 * its result. PostgreSQL reports both before it executes anything, so the statement may be repeated
 * on another connection.
 */
const isStale = (error: unknown): boolean => {
  if (!(error instanceof QueryFailedError)) return false;
  const { code, routine } = error.driverError as { readonly code?: string; readonly routine?: string };
  return code === '26000' || (code === '0A000' && routine === REJECTS_CACHED_PLAN);
};
