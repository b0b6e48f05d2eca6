import createClient, { type Client } from 'openapi-fetch';
import { DEFAULT_PATIENCE, type Patience, retryingFetch } from './retrying-fetch.js';
import type { paths } from './schema.js';

export type { components, operations, paths } from './schema.js';
export type { Patience } from './retrying-fetch.js';

export interface UsersApiOptions {
  /** Where the server is, such as `http://127.0.0.1:3000`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  /** Overrides of the defaults: four attempts, and waits of at most ten seconds. */
  readonly patience?: Partial<Patience>;
  /** Sends a request; `globalThis.fetch` by default. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

/**
 * A client for the paths of the published document: each method takes a path and resolves to a
 * typed `{ data, error, response }`. It retries requests that are safe to repeat.
 */
export const createUsersApi = ({
  baseUrl,
  apiKey,
  patience,
  fetch = (request) => globalThis.fetch(request),
}: UsersApiOptions): Client<paths> =>
  createClient<paths>({
    baseUrl,
    headers: { 'x-api-key': apiKey },
    fetch: retryingFetch(fetch, { ...DEFAULT_PATIENCE, ...patience }),
  });
