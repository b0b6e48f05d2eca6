/** Of a limit, as it stands after a request. */
export interface RateLimitState {
  readonly limit: 'key' | 'address';
  /** Requests in a window. */
  readonly quota: number;
  /** Requests that are left in this one. */
  readonly remaining: number;
  /** Whole seconds until the next one. */
  readonly resetSeconds: number;
}

export const WINDOW_SECONDS = 60;

/** The fields of draft-ietf-httpapi-ratelimit-headers: the limit, and what is left of it until when. */
export const rateLimitHeaders = ({
  limit,
  quota,
  remaining,
  resetSeconds,
}: RateLimitState): Record<string, string> => ({
  'RateLimit-Policy': `"${limit}";q=${String(quota)};w=${String(WINDOW_SECONDS)}`,
  RateLimit: `"${limit}";r=${String(remaining)};t=${String(resetSeconds)}`,
});
