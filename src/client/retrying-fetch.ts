/** How often and how long to try. */
export interface Patience {
  /** Attempts in all, the first included. */
  readonly attempts: number;
  /** The longest wait before one repetition; a server that asks for more gets none. */
  readonly maxWaitMs: number;
}

export const DEFAULT_PATIENCE: Patience = { attempts: 4, maxWaitMs: 10_000 };

const FIRST_BACKOFF_MS = 100;

/**
 * A `fetch` that tries again what may be tried again. 429 is refused before anything is done, so every request may follow
 * it. 503 and a broken connection leave open what was done, so only requests that change nothing by a repetition do.
 * Waits as long as `Retry-After` says, else a random time that doubles its bound with each attempt.
 *
 * @throws what `fetch` throws when no attempt is left, and the reason of the request's `signal` once it aborts
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
 * Whether a request that has been carried out may be carried out again and be answered alike. A key that revokes itself
 * cannot ask twice, a renamed key has left its path, and an `If-Match` holds only once.
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

/** @returns milliseconds; null where the answer names no time (RFC 9110, section 10.2.3: seconds, or a date) */
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
