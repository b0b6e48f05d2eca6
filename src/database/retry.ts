import { setTimeout as sleep } from 'node:timers/promises';
import { QueryFailedError } from 'typeorm';

export const RETRIES = 3;

/** Milliseconds that the first retry waits at most; each next one, twice that. Well within the time a request has. */
const FIRST_PAUSE_MS = 20;

/** serialization_failure and deadlock_detected: PostgreSQL has undone the transaction and asks for it again. */
const CONFLICTS: readonly unknown[] = ['40001', '40P01'];

export const isConflict = (error: unknown): boolean =>
  error instanceof QueryFailedError && CONFLICTS.includes((error.driverError as { code?: unknown }).code);

/** lock_not_available: somebody else holds a row, or what a trigger waits for. */
export const isLockTimeout = (error: unknown): boolean =>
  error instanceof QueryFailedError && (error.driverError as { code?: unknown }).code === '55P03';

/**
 * Runs a transaction again, up to three times, when it lost against another one. The pauses are random, so that two that
 * stood in each other's way do not meet again.
 *
 * @param work a whole transaction, or one statement outside of any: never a part of the caller's
 * @param retries fewer where `work` has been tried already
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
