import { randomUUID } from 'node:crypto';
import { redactKeys } from '../api-key-format.js';

const WELL_FORMED = /^[\w.:=/+-]{1,128}$/;

/**
 * Returns the caller's `X-Request-Id` if it is a token of up to 128 characters without an API key,
 * otherwise a new id.
 */
export function requestIdFrom(header: string | string[] | undefined): string {
  const sent = typeof header === 'string' && WELL_FORMED.test(header) && redactKeys(header) === header;
  return sent ? header : randomUUID();
}
