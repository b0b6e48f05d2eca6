import sql from 'sql-template-tag';
import type { DataSource, EntityManager } from 'typeorm';
import { query } from './query.js';
import { retryingConflicts } from './retry.js';

/**
 * Runs a transaction of a command whose statements may take long, even if the role or a pooler sets
 * `statement_timeout`. Repeats it after a conflict with another transaction.
 */
export const longTransaction = <T>(database: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> =>
  retryingConflicts(() =>
    database.transaction(async (manager) => {
      await query(manager, sql`SELECT set_config('statement_timeout', '0', true)`);
      return work(manager);
    }),
  );
