import type { IncomingMessage, Server } from 'node:http';

/** Requests whose target names another host than their Host header. */
const misdirected = new WeakSet<IncomingMessage>();

/** Whether the target of a request names another host than its Host header. */
export const namesAnotherHost = (request: IncomingMessage): boolean => misdirected.has(request);

/** Gives every request a target that the router can read, before any other listener sees it. */
export function normalizeTargets(server: Server): void {
  server.prependListener('request', toOriginForm);
}

/**
 * Replaces a target with scheme and host by its path (RFC 9112, section 3.2). A target that is not
 * a URL would stop the router, and one with a fragment might not match its route: both become a
 * path that cannot be decoded, which is 400.
 */
function toOriginForm(request: IncomingMessage): void {
  const { url = '' } = request;
  if (url.includes('#')) {
    request.url = '/%';
  } else if (url.startsWith('/') || url === '*') {
    return;
  } else if (URL.canParse(url)) {
    const { pathname, search, host } = new URL(url);
    if (request.headers.host !== undefined && host !== hostOf(request.headers.host)) misdirected.add(request);
    request.url = pathname.startsWith('/') ? pathname + search : '/%';
  } else {
    request.url = '/%';
  }
}

/** Normalizes a Host header as a URL does: lower case, without the default port. */
const hostOf = (header: string): string | undefined =>
  URL.canParse(`http://${header}`) ? new URL(`http://${header}`).host : undefined;
