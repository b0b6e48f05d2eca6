import type { DataSource, EntityManager } from 'typeorm';
import { NO_TIMEOUTS } from './without-timeouts.js';
import { retryingConflicts } from './retry.js';

/**
 * Runs a transaction of a command whose statements may take long, even if the role or a pooler sets
 * timeouts. Repeats it after a conflict with another transaction.
 */
export const longTransaction = <T>(database: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> =>
  retryingConflicts(() =>
    database.transaction(async (manager) => {
      await manager.query(NO_TIMEOUTS);
      return work(manager);
    }),
  );
