import type { Server } from 'node:http';
import type { ErrorKind } from '../errors/domain.error.js';
import { deferExpectations } from './expectations.js';
import { refuseConnection } from './refuse-connection.js';
import { normalizeTargets } from './request-target.js';

/** Milliseconds that the caller of `CONNECT` has to read the response. */
const CONNECT_CLOSE_MS = 5_000;

const KIND_OF: Readonly<Record<string, ErrorKind>> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
};

/**
 * Sends the errors that Node's parser reports before any framework sees a request, such as a
 * malformed request line, in the form of all other error responses. `refuseAmbiguous` handles the
 * rest.
 */
export function handleProtocolErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET') socket.destroy();
    else refuseConnection(socket, KIND_OF[error.code ?? ''] ?? 'invalid');
  });
  server.on('connect', (_request, socket) => {
    // Node removes its listeners from this socket: an unhandled 'error' event would crash the
    // process.
    socket.on('error', () => undefined);
    socket.resume().once('end', () => socket.destroy());
    const timeout = setTimeout(() => socket.destroy(), CONNECT_CLOSE_MS).unref();
    socket.once('close', () => {
      clearTimeout(timeout);
    });
    refuseConnection(socket, 'method_not_allowed');
  });
  deferExpectations(server);
  normalizeTargets(server);
  // Node silently drops header fields beyond this number, such as a second key. Their size is
  // limited.
  server.maxHeadersCount = 0;
  Object.assign(server, {
    requireHostHeader: false, // `refuseAmbiguous` checks it instead
    // A caller that has ended its half of the connection still gets its responses. An idle
    // connection is closed at once.
    httpAllowHalfOpen: true,
  });
}
