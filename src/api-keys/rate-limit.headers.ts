/** The state of a rate limit after a request. */
export interface RateLimitState {
  readonly limit: 'key' | 'user' | 'address';
  /** Requests per window. */
  readonly quota: number;
  /** Requests left in the current window. */
  readonly remaining: number;
  /** Whole seconds until the next window. */
  readonly resetSeconds: number;
  /** Whether this request is above the limit. */
  readonly isExceeded: boolean;
}

export const WINDOW_SECONDS = 60;

/**
 * The headers of draft-ietf-httpapi-ratelimit-headers: the limits, the remaining requests of each,
 * and the time until it resets. Empty without a limit.
 */
export const rateLimitHeaders = (limits: readonly RateLimitState[]): Record<string, string> =>
  limits.length === 0
    ? {}
    : {
        'RateLimit-Policy': limits
          .map(({ limit, quota }) => `"${limit}";q=${String(quota)};w=${String(WINDOW_SECONDS)}`)
          .join(', '),
        RateLimit: limits
          .map(({ limit, remaining, resetSeconds }) => `"${limit}";r=${String(remaining)};t=${String(resetSeconds)}`)
          .join(', '),
      };
