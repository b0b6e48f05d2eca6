import type { Sql } from 'sql-template-tag';
import type { DataSource, EntityManager, ObjectLiteral } from 'typeorm';

/**
 * Runs a statement that is not prepared.
 *
 * @param on the pool, or the transaction of a manager
 * @returns its rows. An UPDATE or DELETE must be part of a SELECT, since TypeORM returns other
 *   results for these statements
 * @throws QueryFailedError, or what the pool throws when it has no connection
 */
export const query = <Row extends ObjectLiteral>(
  on: DataSource | EntityManager,
  { text, values }: Sql,
): Promise<Row[]> => on.query<Row[]>(text, values);
