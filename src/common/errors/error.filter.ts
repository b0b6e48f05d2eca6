import { type ArgumentsHost, Catch, type ExceptionFilter, Logger } from '@nestjs/common';
import type { Request, Response } from 'express';
import { awaitsContinue } from '../http/expectations.js';
import { describeRouteMiss } from '../http/route-miss.js';
import { databaseFailureOf } from './database-unavailable.js';
import { DomainError, STATUS_OF } from './domain.error.js';
import { toErrorReply } from './error-reply.js';

/**
 * Handles every failure: each error becomes an `ErrorResponse` and, from status 500 up, also a log
 * line.
 */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger(ErrorFilter.name);

  catch(thrown: unknown, host: ArgumentsHost): void {
    if (host.getType() === 'ws' && thrown instanceof DomainError) {
      this.send(thrown, host.switchToWs().getClient());
      return;
    }
    if (host.getType() !== 'http') throw thrown; // GraphQL formulates its own error responses
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    if (response.writableEnded) return; // the deadline has passed, and its response is sent
    const error = describeRouteMiss(thrown, request);
    const { body, headers } = toErrorReply(error);

    if (body.status === STATUS_OF.unavailable) request.databaseFailure = databaseFailureOf(error);
    const { path = null } = (request.route as { readonly path: string } | undefined) ?? {};
    if (body.status >= 500 && !request.probes?.isRepeated(path, body.status))
      this.logger.error({ request_id: request.id, err: error }, body.message);
    if (response.headersSent) {
      response.destroy(); // a part of the response is sent: only an aborted connection can report the failure
      return;
    }
    // A caller that has received no 100 response may or may not send its body, so it is unknown
    // where its next request starts.
    if (awaitsContinue(request)) response.setHeader('Connection', 'close');
    response.removeHeader('ETag'); // set for the response that failed, as is the media type, which is replaced
    response.set(headers).status(body.status).type('json').json(body);
  }

  /** Sends an error as Nest's own filter does: as the event `exception`. */
  private send(error: DomainError, client: WebSocketClient): void {
    const { body } = toErrorReply(error);
    if (body.status >= 500) this.logger.error({ err: error }, body.message);
    // A client of `ws` is also an event emitter, but its `emit` sends nothing.
    if (client.readyState === undefined) client.emit('exception', body);
    else client.send(JSON.stringify({ event: 'exception', data: body }));
  }
}

/** A client of Socket.IO, or of `ws` if it has a `readyState`. */
interface WebSocketClient {
  readonly readyState?: number;
  emit(event: string, data: unknown): unknown;
  send(text: string): unknown;
}

/**
 * For routes of the host: handles only `DomainError`, and leaves other errors to the host's
 * filters.
 */
@Catch(DomainError)
export class DomainErrorFilter extends ErrorFilter {}
