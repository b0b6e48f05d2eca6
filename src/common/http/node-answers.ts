import { type IncomingMessage, STATUS_CODES, type Server, type ServerResponse } from 'node:http';
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

const awaiting = new WeakSet<IncomingMessage>();

/** Whether the caller waits to be told to send its body (RFC 9110, section 10.1.1). */
export const awaitsContinue = (request: IncomingMessage): boolean => awaiting.has(request);

/** Takes over from Node malformed request lines, oversized header fields, requests that never end, and their kin. */
export function answerInsteadOfNode(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    else refuse(socket, KIND_OF[error.code ?? ''] ?? 'invalid');
  });
  server.on('connect', (_request, socket) => {
    refuse(socket, 'method_not_allowed');
  });
  server.on('checkContinue', (request, response) => {
    awaiting.add(request);
    server.emit('request', request, response);
  });
  // Only 100-continue is known; any other expectation may be ignored (RFC 9110, section 10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.prependListener('request', toOriginForm);
  server.maxHeadersCount = 0; // Node drops fields beyond it without a word, a second key among them; their size is bounded
  (server as { requireHostHeader?: boolean }).requireHostHeader = false; // `requireHost` answers instead
}

/** A target with scheme and host means its path (RFC 9112, section 3.2.2). One that is no URL stops the router, so it becomes one. */
function toOriginForm(request: IncomingMessage): void {
  const { url = '' } = request;
  if (url.startsWith('/') || url === '*') return;
  if (URL.canParse(url)) {
    const { pathname, search } = new URL(url);
    request.url = pathname.startsWith('/') ? pathname + search : '/%';
  } else {
    request.url = '/%';
  }
}

interface Answering {
  readonly _httpMessage?: ServerResponse | null;
}

/**
 * Answers and closes the connection, since where its next request starts is unknown. Requests that came whole before are
 * answered first, in their turn; half an answer must not get a second one for its rest.
 */
function refuse(socket: Duplex, kind: ErrorKind): void {
  const pending = (socket as Answering)._httpMessage;
  if (pending?.req.complete) {
    pending.once('close', () => setImmediate(refuse, socket, kind));
    return;
  }
  if (!socket.writable || pending?.headersSent) {
    socket.destroy();
    return;
  }
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
