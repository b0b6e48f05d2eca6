import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import { DomainError } from '../errors/domain.error.js';
import { namesAnotherHost } from './request-target.js';

/**
 * A request that a proxy in front of the application might read differently. Its connection is
 * closed, because it is unknown where the next request starts.
 */
export class AmbiguousRequestError extends DomainError {
  readonly kind = 'invalid';
  readonly headers = { Connection: 'close' };
}

/**
 * Refuses requests that Node's parser accepts although it is unclear where they end or which host
 * they are for (RFC 9112).
 */
export const refuseAmbiguous: RequestHandler = (request, _response, next) => {
  const fault = ambiguityOf(request);
  next(fault === undefined ? undefined : new AmbiguousRequestError(fault));
};

function ambiguityOf(request: IncomingMessage): string | undefined {
  const { httpVersion, headersDistinct } = request;
  const { host: hosts = [], 'transfer-encoding': codings } = headersDistinct;
  if (httpVersion !== '1.0' && httpVersion !== '1.1') return 'A request must be in HTTP/1.1 or HTTP/1.0';
  if (hosts.length === 0 && httpVersion === '1.1') return 'A request in HTTP/1.1 must have a Host header';
  if (hosts.length > 1) return 'A request must have one Host header';
  if (codings && httpVersion === '1.0') return 'A request in HTTP/1.0 must not have a Transfer-Encoding header';
  if (codings && codings.join().toLowerCase() !== 'chunked') return 'Transfer-Encoding must be chunked';
  if (namesAnotherHost(request)) return 'The target and the Host header must name the same host';
  return undefined;
}
