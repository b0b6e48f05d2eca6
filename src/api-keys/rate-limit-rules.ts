import { MAX_COUNT } from '../config/rules.js';

/** The highest budget, in requests a minute. */
export const MAX_RATE_LIMIT = MAX_COUNT;

/** The lowest budgets that can be stored: a key may have none of its own, which is 0. */
export const MIN_RATE_LIMIT = { key: 0, user: 1 } as const;

export const isRateLimit = (value: unknown, limit: keyof typeof MIN_RATE_LIMIT): value is number | null =>
  value === null ||
  (Number.isInteger(value) && Number(value) >= MIN_RATE_LIMIT[limit] && Number(value) <= MAX_RATE_LIMIT);

/** The budgets that are stored of a key and its user, in requests a minute. */
export interface StoredRateLimits {
  /** 0 for no budget of the key's own; null for the default, or for none where the user has one. */
  readonly keyRateLimitPerMinute: number | null;
  /** For all keys of the user together, from 1; null for none. */
  readonly userRateLimitPerMinute: number | null;
}

/**
 * The budget of a key alone.
 *
 * @param defaultLimit `RATE_LIMIT_PER_MINUTE`, where 0 is none
 * @returns requests a minute, or Infinity where there is none
 */
export const keyBudget = (
  { keyRateLimitPerMinute: own, userRateLimitPerMinute: shared }: StoredRateLimits,
  defaultLimit: number,
): number => (own ?? (shared === null ? defaultLimit : 0)) || Infinity;
