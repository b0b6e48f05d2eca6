import createClient from 'openapi-fetch';
import { errorOf } from './errors.js';
import { DEFAULT_PATIENCE, type Patience, retryingFetch } from './retrying-fetch.js';
import type { paths } from './schema.js';
import type { Call, CallOptions, ListPath, Operation, Row } from './types.js';

export * from './errors.js';
export type { Patience } from './retrying-fetch.js';
export type { components, operations, paths } from './schema.js';
export type { CallOptions, ListPath, Operation, PathWith, Result, Row, Success } from './types.js';

export interface UsersApiOptions {
  /** Where the server is, such as `http://127.0.0.1:3000`; with a path, where a proxy adds one. */
  readonly baseUrl: string;
  readonly apiKey: string;
  /**
   * Milliseconds for a whole call: its attempts, the waits between them, and the reading of the
   * response. 30,000 by default; `Infinity` for no limit.
   */
  readonly timeout?: number | undefined;
  /** Overrides of the defaults: four attempts, and waits of at most ten seconds. */
  readonly patience?: { readonly [K in keyof Patience]?: Patience[K] | undefined } | undefined;
  /** Sends a request; `globalThis.fetch` by default. */
  readonly fetch?: ((request: Request) => Promise<Response>) | undefined;
}

/**
 * A client for the paths of the published document. Each method takes a path and resolves to
 * `{ data, error, response }`, in which `error` is a `UsersApiError` unless the call succeeded.
 *
 * A call throws if there is no response: what `fetch` throws when the connection fails, the reason
 * of its `signal`, and a `DOMException` named `TimeoutError` after `timeout`.
 */
export interface UsersApi {
  readonly GET: Call<'get'>;
  readonly POST: Call<'post'>;
  readonly PATCH: Call<'patch'>;
  readonly DELETE: Call<'delete'>;
  /**
   * The rows of a list, page after page, each row once though others are added: follows the `Link`
   * header. Pages have 100 rows unless `items_per_page` says otherwise.
   *
   * @throws UsersApiError for a page that fails, and what a call throws
   */
  readonly paginate: <P extends ListPath>(
    path: P,
    options?: CallOptions<Operation<P, 'get'>>,
  ) => AsyncGenerator<Row<P>, void, undefined>;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** The longest time of `setTimeout`; beyond it, there is no limit. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;
const ITEMS_PER_PAGE = 100;

/** A call, whatever its path and its options: `Call` checks them. */
interface AnyOptions {
  readonly params?: { readonly query?: object | undefined } | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeout?: number | undefined;
}
type AnyCall = (path: string, options?: AnyOptions) => Promise<{ data?: unknown; error?: Error; response: Response }>;

/** @throws TypeError for an option that cannot be used; its message never contains the key */
export function createUsersApi(options: UsersApiOptions): UsersApi {
  const { apiKey, timeout: defaultTimeout = DEFAULT_TIMEOUT_MS, patience } = options;
  const { fetch: send = (request: Request) => globalThis.fetch(request) } = options;
  const { attempts = DEFAULT_PATIENCE.attempts, maxWaitMs = DEFAULT_PATIENCE.maxWaitMs } = patience ?? {};
  checkTimeout(defaultTimeout);
  if (typeof apiKey !== 'string' || !/^[\x20-\x7e]+$/.test(apiKey))
    throw new TypeError('apiKey must be the text of an API key, in one line');
  const client = createClient<paths>({
    baseUrl: checkedUrl(options.baseUrl),
    headers: { 'x-api-key': apiKey },
  });

  const callBy = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE'): AnyCall => {
    const request = client[method] as (path: string, init: object) => ReturnType<AnyCall>;
    return async (path, { timeout = defaultTimeout, signal, ...init } = {}) => {
      checkTimeout(timeout);
      const end = new AbortController();
      const abort = (): void => {
        end.abort(signal?.reason);
      };
      if (signal?.aborted) abort();
      signal?.addEventListener('abort', abort);
      const timer =
        timeout <= MAX_TIMEOUT_MS &&
        setTimeout(() => {
          end.abort(new DOMException(`The call took longer than ${String(timeout)} ms`, 'TimeoutError'));
        }, timeout);
      try {
        const fetch = retryingFetch(send, { attempts, maxWaitMs }, Date.now() + timeout);
        const { data, error, response } = await request(path, { ...init, signal: end.signal, fetch });
        return response.ok ? { data, response } : { error: errorOf(response, error), response };
      } finally {
        if (timer) clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
      }
    };
  };

  const get = callBy('GET');

  async function* paginate(path: string, { params, ...rest }: AnyOptions = {}): AsyncGenerator {
    let query: object | null = { items_per_page: ITEMS_PER_PAGE, ...withoutUndefined(params?.query) };
    while (query) {
      const { data, error, response } = await get(path, { ...rest, params: { ...params, query } });
      if (error) throw error;
      yield* (data as { data: unknown[] }).data;
      query = nextQuery(response);
    }
  }

  return {
    GET: get,
    POST: callBy('POST'),
    PATCH: callBy('PATCH'),
    DELETE: callBy('DELETE'),
    paginate,
  } as unknown as UsersApi;
}

const withoutUndefined = (query: object | undefined): object =>
  Object.fromEntries(Object.entries(query ?? {}).filter(([, value]) => value !== undefined));

/** The query of the next page by the `Link` header, or null after the last page. */
function nextQuery({ headers }: Response): object | null {
  const [, url] = /<([^>]*)>; rel="next"/.exec(headers.get('link') ?? '') ?? [];
  return url === undefined ? null : Object.fromEntries(new URL(url, 'http://relative').searchParams);
}

function checkTimeout(timeout: number): void {
  if (!(timeout > 0)) throw new TypeError(`timeout must be a number of milliseconds above 0: got ${String(timeout)}`);
}

/** The URL without a slash at its end. */
function checkedUrl(baseUrl: string): string {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new TypeError(
      `baseUrl must be an absolute URL with http or https, such as http://127.0.0.1:3000: got ${JSON.stringify(baseUrl)}`,
    );
  if (url.username || url.password) throw new TypeError('baseUrl must not have a user or a password');
  if (url.search || url.hash)
    throw new TypeError(`baseUrl must not have a query or a fragment: got ${JSON.stringify(baseUrl)}`);
  return url.href.replace(/\/+$/, '');
}
