import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import { requestIdFrom } from '../http/request-id.js';

/** What the log may know of a request: nothing that a caller wrote freely, so no URL, header or body. */
interface LoggedRequest extends IncomingMessage {
  readonly route?: { readonly path: string };
  readonly principal?: { readonly userId: string };
}

/** Gives every request its id, sends it back as `X-Request-Id`, and writes one line when the answer is out. */
export const requestLog = (logger: Logger): RequestHandler =>
  pinoHttp<LoggedRequest>({
    logger,
    quietReqLogger: true,
    genReqId: (request, response) => {
      const id = requestIdFrom(request.headers['x-request-id']);
      response.setHeader('X-Request-Id', id);
      return id;
    },
    customAttributeKeys: { reqId: 'request_id', responseTime: 'duration_ms' },
    serializers: { req: () => undefined, res: () => undefined, err: () => undefined },
    customLogLevel: (_request, response) => (response.statusCode >= 500 ? 'error' : 'info'),
    customSuccessMessage: sentence,
    customErrorMessage: sentence,
    customSuccessObject: fields,
    customErrorObject: (request, response, _error, own: object) => fields(request, response, own),
  }) as RequestHandler;

const sentence = (request: LoggedRequest, response: ServerResponse): string =>
  `${request.method ?? ''} ${request.route?.path ?? '(no route)'} ${String(statusOf(response) ?? 'aborted')}`;

const statusOf = (response: ServerResponse): number | null => (response.headersSent ? response.statusCode : null);

/** The status is null where the caller went away before there was an answer. */
const fields = (request: LoggedRequest, response: ServerResponse, own: object): object => ({
  ...own,
  method: request.method,
  route: request.route?.path ?? null,
  status: statusOf(response),
  user_id: request.principal?.userId,
});
