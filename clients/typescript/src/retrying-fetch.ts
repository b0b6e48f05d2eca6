import { retryAfterMs } from './errors.js';

/** The number of attempts and the longest wait. */
export interface Patience {
  /** All attempts, including the first. */
  readonly attempts: number;
  /** The longest wait before a retry (ms); if the server asks for more, there is no retry. */
  readonly maxWaitMs: number;
}

export const DEFAULT_PATIENCE: Patience = { attempts: 4, maxWaitMs: 10_000 };

const FIRST_BACKOFF_MS = 100;

/** Statuses after which only a read is repeated: a server error, and those of a proxy. */
const FAILED_READ = [500, 502, 504];

/**
 * Wraps `fetch` with retries. A 429 is sent before anything is done, so every request may be
 * retried after it. After a 503 or a broken connection the outcome is unknown, so only requests
 * that are safe to repeat are retried; after 500, 502 and 504, reads alone. Waits as long as
 * `Retry-After` says, otherwise a random time whose bound doubles with each attempt.
 *
 * @param deadline the end of the call, as `Date.now()` counts; no wait goes beyond it
 * @throws what `fetch` throws when no attempt is left, and the reason of the request's `signal`
 *   once it aborts
 */
export const retryingFetch =
  (
    send: (request: Request) => Promise<Response>,
    { attempts, maxWaitMs }: Patience,
    deadline = Number.POSITIVE_INFINITY,
  ) =>
  async (request: Request): Promise<Response> => {
    for (let attempt = 1; ; attempt += 1) {
      const last = attempt >= attempts;
      const backoff = Math.random() * Math.min(maxWaitMs, FIRST_BACKOFF_MS * 2 ** attempt);
      const isTooLong = (wait: number): boolean => wait > maxWaitMs || Date.now() + wait >= deadline;
      let wait: number;
      try {
        const response = await send(last ? request : request.clone());
        if (last || !isWorthRepeating(response.status, request)) return response;
        wait = retryAfterMs(response.headers) ?? backoff;
        if (isTooLong(wait)) return response;
        await response.body?.cancel();
      } catch (error) {
        if (last || request.signal.aborted || !isRepeatable(request) || isTooLong(backoff)) throw error;
        wait = backoff;
      }
      await pause(wait, request.signal);
    }
  };

function isWorthRepeating(status: number, request: Request): boolean {
  if (status === 429) return true;
  if (status === 503) return isRepeatable(request);
  return FAILED_READ.includes(status) && isRead(request);
}

const isRead = ({ method }: Request): boolean => method === 'GET' || method === 'HEAD';

/**
 * Whether repeating a request has the same effect and response. A key that revoked itself cannot be
 * used again, a renamed key has another path, and an `If-Match` matches only once.
 */
export function isRepeatable(request: Request): boolean {
  const { method, url, headers } = request;
  if (isRead(request)) return true;
  if (headers.has('if-match')) return false;
  const { pathname } = new URL(url);
  switch (method) {
    case 'PATCH':
      return /\/v1\/users\/[^/]+$/.test(pathname);
    case 'DELETE':
      return !pathname.endsWith('/v1/api-keys/current');
    case 'POST':
      // Each names its `transaction_id`, or the hold that it ends.
      return /\/v1\/(verify|billing\/(credits-(add|deduct)|holds(\/[^/]+\/capture)?))$/.test(pathname);
    default:
      return false;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
