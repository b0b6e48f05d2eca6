import createClient, { type Client } from 'openapi-fetch';
import { DEFAULT_PATIENCE, type Patience, retryingFetch } from './retrying-fetch.js';
import type { paths } from './schema.js';

export type { components, operations, paths } from './schema.js';
export type { Patience } from './retrying-fetch.js';

export interface UsersApiOptions {
  /** Where the server is, such as `http://127.0.0.1:3000`. */
  readonly baseUrl: string;
  readonly apiKey: string;
  /** What differs from four attempts and waits of ten seconds at most. */
  readonly patience?: Partial<Patience>;
  /** What sends a request; `globalThis.fetch` if left out. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

/**
 * A client for the paths of the published document: each method takes a path and answers `{ data, error, response }`, typed.
 * It repeats by itself what is safe to repeat.
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
