import { STATUS_CODES, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { STATUS_OF, type ErrorKind } from '../errors/domain.error.js';
import { requestIdFrom } from './request-id.js';

const KIND_OF: Readonly<Record<string, ErrorKind>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/**
 * Answers what never becomes a request (a malformed request line, oversized header fields, a request that never ends)
 * in the shape of every other failure, and closes the connection, since where its next request starts is unknown.
 */
export function answerClientErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket;
    const answered = (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent;
    if (error.code === 'ECONNRESET' || !socket.writable || answered) {
      socket.destroy();
      return;
    }
    const status = STATUS_OF[KIND_OF[error.code ?? ''] ?? 'invalid'];
    const reason = STATUS_CODES[status] ?? '';
    const body = JSON.stringify({ status, message: reason });
    socket.end(
      `HTTP/1.1 ${String(status)} ${reason}\r\n` +
        `X-Request-Id: ${requestIdFrom(undefined)}\r\n` +
        'Content-Type: application/json; charset=utf-8\r\n' +
        `Content-Length: ${String(Buffer.byteLength(body))}\r\n` +
        'Connection: close\r\n\r\n' +
        body,
    );
  });
}
