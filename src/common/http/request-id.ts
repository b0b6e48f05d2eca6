import { randomUUID } from 'node:crypto';
import { redactKeys } from '../api-key-format.js';

const WELL_FORMED = /^[\w.:=/+-]{1,128}$/;

/** Keeps the caller's `X-Request-Id` if it is a plain token of up to 128 characters and hides no API key, or makes a new one. */
export function requestIdFrom(header: string | string[] | undefined): string {
  const sent = typeof header === 'string' && WELL_FORMED.test(header) && redactKeys(header) === header;
  return sent ? header : randomUUID();
}
