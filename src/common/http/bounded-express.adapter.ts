import { createServer, type RequestListener } from 'node:http';
import { ExpressAdapter } from '@nestjs/platform-express';

/**
 * Milliseconds that a caller may take for the header of a request, counted from its first byte or
 * from its connection.
 */
const HEADER_MS = 5_000;
/**
 * Milliseconds for a whole request. Ours are 32 KiB at most, which a poor mobile line sends in a
 * tenth of it.
 */
const REQUEST_MS = 10_000;
/**
 * Milliseconds that an idle connection is kept: longer than the 60 s of common load balancers,
 * which must be the ones to close.
 */
const KEEP_ALIVE_MS = 65_000;
/**
 * Milliseconds without a byte in either direction, for callers that do not read. Longer than the
 * others, which answer before they close.
 */
const SILENCE_MS = 20_000;
/**
 * Milliseconds between two looks for requests that are late. Node's own 30 s would make of 5 s up
 * to 35.
 */
const CHECK_EVERY_MS = 500;

/**
 * Express behind a server that waits for no caller for ever: a slow one holds a connection, and
 * that not for long.
 */
export class BoundedExpressAdapter extends ExpressAdapter {
  override initHttpServer(): void {
    const server = createServer(
      {
        headersTimeout: HEADER_MS,
        requestTimeout: REQUEST_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: CHECK_EVERY_MS,
      },
      this.getInstance<RequestListener>(),
    );
    server.timeout = SILENCE_MS;
    this.httpServer = server;
  }
}
