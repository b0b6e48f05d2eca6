/** The state of a rate limit after a request. */
export interface RateLimitState {
  readonly limit: 'key' | 'address';
  /** Requests per window. */
  readonly quota: number;
  /** Requests left in the current window. */
  readonly remaining: number;
  /** Whole seconds until the next window. */
  readonly resetSeconds: number;
}

export const WINDOW_SECONDS = 60;

/**
 * The headers of draft-ietf-httpapi-ratelimit-headers: the limit, what is left of it and when it
 * resets.
 */
export const rateLimitHeaders = ({
  limit,
  quota,
  remaining,
  resetSeconds,
}: RateLimitState): Record<string, string> => ({
  'RateLimit-Policy': `"${limit}";q=${String(quota)};w=${String(WINDOW_SECONDS)}`,
  RateLimit: `"${limit}";r=${String(remaining)};t=${String(resetSeconds)}`,
});
