import { setTimeout as sleep } from 'node:timers/promises';
import { QueryFailedError } from 'typeorm';

export const RETRIES = 3;

/**
 * The longest pause before the first retry (ms), doubled for each further retry: far shorter than
 * the deadline of a request.
 */
const FIRST_PAUSE_MS = 20;

/**
 * serialization_failure and deadlock_detected: PostgreSQL has rolled the transaction back, and it
 * may be repeated.
 */
const CONFLICTS: readonly unknown[] = ['40001', '40P01'];

export const isConflict = (error: unknown): boolean =>
  error instanceof QueryFailedError && CONFLICTS.includes((error.driverError as { code?: unknown }).code);

/**
 * lock_not_available: another transaction holds a lock that the statement, or a trigger, waits for.
 */
export const isLockTimeout = (error: unknown): boolean =>
  error instanceof QueryFailedError && (error.driverError as { code?: unknown }).code === '55P03';

/**
 * Retries a transaction that conflicts with another one, up to three times, after random pauses, so
 * that the two transactions do not conflict again.
 *
 * @param work a whole transaction, or one statement outside of any: never a part of the caller's
 *   transaction
 * @param retries fewer if `work` has been tried already
 */
export async function retryingConflicts<T>(work: () => Promise<T>, retries = RETRIES): Promise<T> {
  for (let retry = 0; ; retry += 1) {
    try {
      return await work();
    } catch (error) {
      if (retry === retries || !isConflict(error)) throw error;
      await sleep(Math.random() * FIRST_PAUSE_MS * 2 ** retry);
    }
  }
}
