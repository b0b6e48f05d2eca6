import { redactKeys } from '../api-key-format.js';
import { timeOrderedUuid } from '../time-ordered-uuid.js';

const WELL_FORMED = /^[\w.:=/+-]{1,128}$/;

/**
 * Returns the caller's `X-Request-Id` if it is a token of up to 128 characters without an API key,
 * otherwise a new id, which has the time of the request.
 */
export function requestIdFrom(header: string | string[] | undefined): string {
  const sent = typeof header === 'string' && WELL_FORMED.test(header) && redactKeys(header) === header;
  return sent ? header : timeOrderedUuid();
}
