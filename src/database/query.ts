import type { Sql } from 'sql-template-tag';
import type { DataSource, EntityManager, ObjectLiteral } from 'typeorm';

/**
 * Runs a statement that is not prepared.
 *
 * @param on the pool, or the transaction of a manager
 * @returns its rows; those of an UPDATE or DELETE only where a SELECT reads them, as TypeORM
 *   returns other results for these
 * @throws QueryFailedError, or what the pool throws when it has no connection
 */
export const query = <Row extends ObjectLiteral>(
  on: DataSource | EntityManager,
  { text, values }: Sql,
): Promise<Row[]> => on.query<Row[]>(text, values);
