/** The number of attempts and the longest wait. */
export interface Patience {
  /** All attempts, including the first. */
  readonly attempts: number;
  /** The longest wait before a retry (ms); if the server asks for more, there is no retry. */
  readonly maxWaitMs: number;
}

export const DEFAULT_PATIENCE: Patience = { attempts: 4, maxWaitMs: 10_000 };

const FIRST_BACKOFF_MS = 100;

/**
 * Wraps `fetch` with retries. A 429 is sent before anything is done, so every request may be
 * retried after it. After a 503 or a broken connection the outcome is unknown, so only requests
 * that are safe to repeat are retried. Waits as long as `Retry-After` says, otherwise a random time
 * whose bound doubles with each attempt.
 *
 * @throws what `fetch` throws when no attempt is left, and the reason of the request's `signal`
 *   once it aborts
 */
export const retryingFetch =
  (send: (request: Request) => Promise<Response>, { attempts, maxWaitMs }: Patience) =>
  async (request: Request): Promise<Response> => {
    for (let attempt = 1; ; attempt += 1) {
      const last = attempt >= attempts;
      const backoff = Math.random() * Math.min(maxWaitMs, FIRST_BACKOFF_MS * 2 ** attempt);
      let wait: number;
      try {
        const response = await send(last ? request : request.clone());
        if (last || !(response.status === 429 || (response.status === 503 && isRepeatable(request)))) return response;
        wait = waitOf(response) ?? backoff;
        if (wait > maxWaitMs) return response;
        await response.body?.cancel();
      } catch (error) {
        if (last || request.signal.aborted || !isRepeatable(request)) throw error;
        wait = backoff;
      }
      await pause(wait, request.signal);
    }
  };

/**
 * Whether repeating a request has the same effect and response. A key that revoked itself cannot be
 * used again, a renamed key has another path, and an `If-Match` matches only once.
 */
export function isRepeatable({ method, url, headers }: Request): boolean {
  const { pathname } = new URL(url);
  if (headers.has('if-match')) return method === 'GET' || method === 'HEAD';
  switch (method) {
    case 'GET':
    case 'HEAD':
      return true;
    case 'PATCH':
      return /\/v1\/users\/[^/]+$/.test(pathname);
    case 'DELETE':
      return !pathname.endsWith('/v1/api-keys/current');
    case 'POST':
      return /\/v1\/billing\/credits-(add|deduct)$/.test(pathname); // each names its `transaction_id`
    default:
      return false;
  }
}

/**
 * @returns milliseconds, or null without a valid `Retry-After` (RFC 9110, section 10.2.3: seconds,
 *   or a date)
 */
function waitOf({ headers }: Response): number | null {
  const text = headers.get('retry-after')?.trim();
  if (!text) return null;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const until = Date.parse(text);
  return Number.isNaN(until) ? null : Math.max(0, until - Date.now());
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
