import type { RequestHandler } from 'express';
import { DomainError } from '../errors/domain.error.js';
import { REQUEST_DEADLINE_MS } from '../time-limits.js';

export class DeadlineError extends DomainError {
  readonly kind = 'unavailable';

  constructor() {
    super('The service took too long');
  }
}

/**
 * Sends 503 once a request has taken too long. Each use of the database has its own timeout; the
 * deadline limits their sum.
 *
 * The clock is stopped while the body is read, because that depends on the caller and has its own
 * timeout; the time before it counts. The response is therefore sent within the deadline after the
 * last byte, whether the body arrives with the header or after the key is looked up.
 *
 * Work that has started for the request continues and may still be committed. README states the
 * effect of a repeated request.
 */
export const deadline: RequestHandler = (request, response, next) => {
  let leftMs = REQUEST_DEADLINE_MS;
  let since = 0;
  let timer: NodeJS.Timeout | undefined;
  const start = (): void => {
    since = performance.now();
    timer = setTimeout(() => {
      next(new DeadlineError());
    }, leftMs);
  };
  const stop = (): void => {
    clearTimeout(timer);
    leftMs -= performance.now() - since;
  };

  start();
  request.once('resume', stop); // the body is read from here on
  request.once('end', () => {
    if (!response.writableEnded) start();
  });
  response.once('close', stop);
  next();
};
