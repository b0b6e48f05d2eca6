import { MAX_COUNT } from '../config/rules.js';

/** The highest budget, in requests a minute. */
export const MAX_RATE_LIMIT = MAX_COUNT;

/** The lowest budgets that can be stored; 0 means that a key has no budget of its own. */
export const MIN_RATE_LIMIT = { key: 0, user: 1 } as const;

export const isRateLimit = (value: unknown, limit: keyof typeof MIN_RATE_LIMIT): value is number | null =>
  value === null ||
  (Number.isInteger(value) && Number(value) >= MIN_RATE_LIMIT[limit] && Number(value) <= MAX_RATE_LIMIT);

/** The stored budgets of a key and of its user, in requests a minute. */
export interface StoredRateLimits {
  /** 0 for no budget of the key's own; null for the default, or for none if the user has one. */
  readonly keyRateLimitPerMinute: number | null;
  /** For all keys of the user together, from 1; null for none. */
  readonly userRateLimitPerMinute: number | null;
}

/**
 * The budget of a key alone.
 *
 * @param defaultLimit `RATE_LIMIT_PER_MINUTE`; 0 for none
 * @returns requests a minute, or Infinity if there is no budget
 */
export const keyBudget = (
  { keyRateLimitPerMinute: own, userRateLimitPerMinute: shared }: StoredRateLimits,
  defaultLimit: number,
): number => (own ?? (shared === null ? defaultLimit : 0)) || Infinity;
