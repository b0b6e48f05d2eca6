import type { Request, RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import type { DatabaseFailure } from '../errors/database-unavailable.js';
import { callerAddress } from '../http/caller-address.js';
import { requestIdFrom } from '../http/request-id.js';
import { DatabaseFailureLog } from './database-failure-log.js';
import { ProbeOutcomes } from './probe-outcomes.js';

declare module 'http' {
  interface IncomingMessage {
    /** Names the request in the log and in `X-Request-Id`. */
    id: string;
    /** The trace that the request is part of, if tracing is on. */
    traceId?: string;
    /** The reason of a 503 response that the database caused. */
    databaseFailure?: DatabaseFailure | null;
    /** Tells which log lines would only repeat earlier ones. */
    probes?: ProbeOutcomes;
  }
}

/**
 * The parts of a request that may be logged: no text that a caller chooses freely, so no URL,
 * header or body.
 */
interface LoggedRequest extends Request {
  readonly principal?: { readonly userId: string; readonly keyId: string };
}

/**
 * Gives every request its id, sends it back as `X-Request-Id`, and writes one line once the
 * response is sent. A health check with the same response as the one before is logged at level
 * `debug`.
 */
export function requestLog(logger: Logger): RequestHandler {
  const probes = new ProbeOutcomes();
  const failures = new DatabaseFailureLog(logger);
  return (request: LoggedRequest, response, next) => {
    const start = performance.now();
    const address = callerAddress(request); // read now: a closed connection has none
    request.id = requestIdFrom(request.headers['x-request-id']);
    request.probes = probes;
    response.setHeader('X-Request-Id', request.id);
    response.once('close', () => {
      const line = describe(request, response, address, start);
      logger[levelOf(line, probes)](
        line,
        `${line.method} ${line.route ?? '(no route)'} ${String(line.status ?? 'aborted')}`,
      );
      probes.record(line.route, line.status);
      if (request.databaseFailure) failures.record(request.databaseFailure, request.id);
    });
    next();
  };
}

/**
 * The fields of a request's line. The status is null if the caller disconnected before the
 * response.
 */
interface Line {
  readonly request_id: string;
  readonly trace_id: string | undefined;
  readonly method: string;
  readonly route: string | null;
  readonly status: number | null;
  readonly user_id: string | undefined;
  readonly key_id: string | undefined;
  readonly address: string | undefined;
  readonly reason: DatabaseFailure | undefined;
  readonly duration_ms: number;
}

const describe = (
  { id, traceId, method, route, principal, databaseFailure }: LoggedRequest,
  response: Response,
  address: string | undefined,
  start: number,
): Line => ({
  request_id: id,
  trace_id: traceId,
  method,
  route: (route as { readonly path: string } | undefined)?.path ?? null,
  status: response.headersSent ? response.statusCode : null,
  user_id: principal?.userId,
  key_id: principal?.keyId,
  address,
  reason: databaseFailure ?? undefined,
  duration_ms: Math.round((performance.now() - start) * 100) / 100,
});

function levelOf({ route, status }: Line, probes: ProbeOutcomes): 'debug' | 'error' | 'info' {
  if (probes.isRepeated(route, status)) return 'debug';
  return status !== null && status >= 500 ? 'error' : 'info';
}
