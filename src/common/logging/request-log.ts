import type { Request, RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { requestIdFrom } from '../http/request-id.js';

declare module 'http' {
  interface IncomingMessage {
    /** Names the request in the log and in `X-Request-Id`. */
    id: string;
    /** The trace that the request is part of, where traces are on. */
    traceId?: string;
  }
}

/** What the log may know of a request: nothing that a caller wrote freely, so no URL, header or body. */
interface LoggedRequest extends Request {
  readonly principal?: { readonly userId: string };
}

/** Gives every request its id, sends it back as `X-Request-Id`, and writes one line when the answer is out. */
export const requestLog =
  (logger: Logger): RequestHandler =>
  (request, response, next) => {
    const start = performance.now();
    request.id = requestIdFrom(request.headers['x-request-id']);
    response.setHeader('X-Request-Id', request.id);
    response.once('close', () => {
      write(logger, request, response, start);
    });
    next();
  };

/** The status is null where the caller went away before there was an answer. */
function write(
  logger: Logger,
  { id, traceId, method, route, principal }: LoggedRequest,
  response: Response,
  start: number,
): void {
  const path = (route as { readonly path: string } | undefined)?.path ?? null;
  const status = response.headersSent ? response.statusCode : null;
  const line = {
    request_id: id,
    trace_id: traceId,
    method,
    route: path,
    status,
    user_id: principal?.userId,
    duration_ms: Math.round((performance.now() - start) * 100) / 100,
  };
  const sentence = `${method} ${path ?? '(no route)'} ${String(status ?? 'aborted')}`;
  if (status !== null && status >= 500) logger.error(line, sentence);
  else logger.info(line, sentence);
}
