import { type IncomingMessage, STATUS_CODES, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestHandler } from 'express';
import { DomainError, type ErrorKind, STATUS_OF } from '../errors/domain.error.js';
import { requestIdFrom } from './request-id.js';

/*
 * What Node answers by itself, in a shape of its own, before any framework sees a request: here it gets the shape of
 * every other failure.
 */

/** Milliseconds in which a caller whose connection is handed over to us may read its refusal. */
const GOODBYE_MS = 5_000;

const KIND_OF: Readonly<Record<string, ErrorKind>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/** A request that we and a proxy before us might read differently. Its connection is closed: nobody knows where the next one starts. */
export class AmbiguousRequestError extends DomainError {
  readonly kind = 'invalid';
  readonly headers = { Connection: 'close' };
}

const misdirected = new WeakSet<IncomingMessage>();

/** Refuses what Node's parser lets pass though it leaves in doubt where a request ends or whom it is for (RFC 9112). */
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
  if (misdirected.has(request)) return 'The target and the Host header must name the same host';
  return undefined;
}

/** The latest answer that was begun on a connection. */
const latestAnswer = new WeakMap<Duplex, ServerResponse>();

/** Requests of a connection that wait for the one before. */
const waiting = new WeakMap<Duplex, number>();
/** No client sends more of them without waiting for an answer; somebody who does only wants our memory. */
const MAX_WAITING = 100;

/**
 * Takes the requests of one connection one after the other. Node hands over pipelined ones all at once, and answers them in
 * order; but of two writes the second must see the first (RFC 9112, section 9.3.2), and nothing may happen for requests
 * behind one whose answer closes the connection. Other connections have their turn between two of them, and of one on which
 * too many wait no more is taken.
 */
export const inTurn: RequestHandler = (request, response, next) => {
  const { socket } = request;
  const before = latestAnswer.get(socket);
  latestAnswer.set(socket, response);
  if (!before || before.closed) {
    next();
    return;
  }
  const ahead = waiting.get(socket) ?? 0;
  if (ahead >= MAX_WAITING) {
    socket.destroy();
    return;
  }
  waiting.set(socket, ahead + 1);
  before.once('close', () => {
    setImmediate(() => {
      waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
      if (socket.writable) next();
    });
  });
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
    // Node hands the connection over, and no longer listens to it: a reset that nobody hears of would end the process.
    socket.on('error', () => undefined);
    socket.resume().once('end', () => socket.destroy());
    const goodbye = setTimeout(() => socket.destroy(), GOODBYE_MS).unref();
    socket.once('close', () => {
      clearTimeout(goodbye);
    });
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
  Object.assign(server, {
    requireHostHeader: false, // `refuseAmbiguous` answers instead
    // Responses to a caller that has ended its half of the connection are sent, and then it is closed; an idle one is closed at once.
    httpAllowHalfOpen: true,
  });
}

/**
 * A target with scheme and host means its path, and none has a fragment (RFC 9112, section 3.2). One that is no URL stops the router, and
 * with a fragment the router may find no path: either becomes one that does not decode.
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

/** As a URL would write it: in lower case, without the usual port. */
const hostOf = (header: string): string | undefined =>
  URL.canParse(`http://${header}`) ? new URL(`http://${header}`).host : undefined;

interface Answering {
  readonly _httpMessage?: ServerResponse | null;
}

/**
 * Answers and closes the connection, since where its next request starts is unknown. Requests that came whole before are
 * answered first, in their turn; half an answer must not get a second one for its rest, nor a request that was answered
 * before it had come whole.
 */
export function refuse(socket: Duplex, kind: ErrorKind): void {
  const pending = (socket as Answering)._httpMessage;
  if (pending?.req.complete) {
    pending.once('close', () => setImmediate(refuse, socket, kind));
    return;
  }
  const latest = latestAnswer.get(socket);
  const answeredEarly = latest?.writableEnded && !latest.req.complete;
  if (!socket.writable || pending?.headersSent || answeredEarly) {
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
