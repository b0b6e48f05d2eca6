import { createServer, type RequestListener } from 'node:http';
import { ExpressAdapter } from '@nestjs/platform-express';

/**
 * Milliseconds that a caller may take for the header of a request, counted from its first byte or
 * from its connection.
 */
const HEADER_MS = 5_000;
/**
 * Milliseconds for a whole request. A request has 32 KiB at most, which a slow mobile connection
 * sends in a tenth of this time.
 */
const REQUEST_MS = 10_000;
/**
 * Milliseconds that an idle connection is kept: longer than the 60 s of common load balancers,
 * which must close first.
 */
const KEEP_ALIVE_MS = 65_000;
/**
 * Milliseconds without a byte in either direction, for callers that do not read. Longer than
 * `HEADER_MS` and `REQUEST_MS`, which send a response before they close.
 */
const SILENCE_MS = 20_000;
/**
 * Milliseconds between checks for late requests. Node's default of 30 s would extend 5 s to up to
 * 35 s.
 */
const CHECK_EVERY_MS = 500;

/**
 * Express behind a server with timeouts for headers, requests and idle connections: a slow caller
 * occupies a connection for a limited time only.
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
