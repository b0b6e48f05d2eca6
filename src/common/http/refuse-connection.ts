import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ErrorKind, STATUS_OF } from '../errors/domain.error.js';
import { latestResponseOn } from './pipelined-requests.js';
import { requestIdFrom } from './request-id.js';

/** The response that Node is sending on a connection, or sends next. */
export const pendingResponse = (socket: Duplex): ServerResponse | null | undefined =>
  (socket as { readonly _httpMessage?: ServerResponse | null })._httpMessage;

/**
 * Sends an error response on a connection and closes it, because it is unknown where the next
 * request starts. Complete requests that were received before are answered first, in order. The
 * connection is closed without an error response where a caller would take that for a second
 * response: if a response is already partly sent, or was sent before its request was complete.
 */
export function refuseConnection(socket: Duplex, kind: ErrorKind): void {
  const pending = pendingResponse(socket);
  if (pending?.req.complete) {
    pending.once('close', () => setImmediate(refuseConnection, socket, kind));
    return;
  }
  const latest = latestResponseOn(socket);
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
