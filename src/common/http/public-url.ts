import type { Request } from 'express';

/** The setting of Express that contains the value of `PUBLIC_URL`. */
export const PUBLIC_URL_SETTING = 'public url';

/**
 * A path of unreserved characters (RFC 3986) without a slash at the end. "//" would begin another
 * host, and "." and ".." would lead out of the prefix.
 */
const PREFIX = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/;

/**
 * The part before the path in the URLs that callers use: `PUBLIC_URL` if it is set, otherwise the
 * prefix that a trusted proxy has removed and sends in `X-Forwarded-Prefix`. Empty without either,
 * and for a prefix that is not a plain path. Never ends with a slash.
 */
export function publicBaseOf({ app, headers, socket }: Request): string {
  const publicUrl = app.get(PUBLIC_URL_SETTING) as string | undefined;
  if (publicUrl !== undefined) return publicUrl;
  const prefix = headers['x-forwarded-prefix'];
  if (typeof prefix !== 'string') return '';
  const isTrusted = app.get('trust proxy fn') as (address: string, hop: number) => boolean;
  const path = prefix.replace(/\/$/, '');
  return PREFIX.test(path) && isTrusted(socket.remoteAddress ?? '', 0) ? path : '';
}
