import type { RequestHandler } from 'express';
import { DomainError } from '../errors/domain.error.js';

/** Milliseconds from a request's last byte, after which its caller is told to come again, whatever is still going on. */
const DEADLINE_MS = 2_400;

export class DeadlineError extends DomainError {
  readonly kind = 'unavailable';

  constructor() {
    super('The service took too long');
  }
}

/**
 * Every turn at the database has a time-out of its own; this one is for their sum. What was begun for the request goes on
 * and may yet be written, as with a connection that is lost during a commit. README says what a repeated request does then.
 */
export const deadline: RequestHandler = (request, response, next) => {
  const timer = setTimeout(() => {
    // A body that is still on its way takes the caller's time, and has a limit of its own.
    if (request.complete) next(new DeadlineError());
    else timer.refresh();
  }, DEADLINE_MS);
  request.once('end', () => {
    if (!response.closed) timer.refresh();
  });
  response.once('close', () => {
    clearTimeout(timer);
  });
  next();
};
