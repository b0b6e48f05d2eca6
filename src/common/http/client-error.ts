import { STATUS_CODES, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestHandler } from 'express';
import { DomainError, type ErrorKind, STATUS_OF } from '../errors/domain.error.js';
import { requestIdFrom } from './request-id.js';

/*
 * What Node answers by itself, in a shape of its own, before any framework sees a request: here it gets the shape of
 * every other failure.
 */

const KIND_OF: Readonly<Record<string, ErrorKind>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

export class MissingHostError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('A request in HTTP/1.1 must have a Host header');
  }
}

/** RFC 9112, section 3.2. */
export const requireHost: RequestHandler = (request, _response, next) => {
  next(request.headers.host === undefined && request.httpVersion === '1.1' ? new MissingHostError() : undefined);
};

/** Answers malformed request lines, oversized header fields, requests that never end, and their kin. */
export function answerClientErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable || answerIsOut(socket)) socket.destroy();
    else refuse(socket, KIND_OF[error.code ?? ''] ?? 'invalid');
  });
  server.on('connect', (_request, socket) => {
    refuse(socket, 'method_not_allowed');
  });
  // Only 100-continue is known; any other expectation may be ignored (RFC 9110, section 10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  (server as { requireHostHeader?: boolean }).requireHostHeader = false; // `requireHost` answers instead
}

/** Half of an answer to an earlier request may be on its way: a second one would be taken for its rest. */
const answerIsOut = (socket: Duplex): boolean =>
  (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent ?? false;

/** Closes the connection as well, since where its next request starts is unknown. */
function refuse(socket: Duplex, kind: ErrorKind): void {
  const status = STATUS_OF[kind];
  const reason = STATUS_CODES[status] ?? '';
  const body = JSON.stringify({ status, message: reason });
  socket.end(
    `HTTP/1.1 ${String(status)} ${reason}\r\n` +
      `X-Request-Id: ${requestIdFrom(undefined)}\r\n` +
      (kind === 'method_not_allowed' ? 'Allow: GET, HEAD, POST, PATCH, DELETE\r\n' : '') +
      'Content-Type: application/json; charset=utf-8\r\n' +
      `Content-Length: ${String(Buffer.byteLength(body))}\r\n` +
      'Connection: close\r\n\r\n' +
      body,
  );
}
