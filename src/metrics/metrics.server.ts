import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { collectDefaultMetrics } from 'prom-client';
import { closeListener } from '../common/http/close-listener.js';
import { handleProtocolErrors } from '../common/http/protocol-errors.js';
import { requestIdFrom } from '../common/http/request-id.js';
import { MethodNotAllowedError, NoSuchRouteError } from '../common/http/route-miss.js';
import { toErrorReply } from '../common/errors/error-reply.js';
import { Counters } from '../common/counters/counters.js';

/** Milliseconds for scrapes in flight when the listener closes. */
const SCRAPE_MS = 250;

/**
 * Serves `GET /metrics` in Prometheus' text format, without a key, and therefore never on the
 * public port.
 */
@Injectable()
export class MetricsServer implements OnApplicationShutdown {
  private server: Server | undefined;
  private isStopping = false;

  constructor(private readonly counters: Counters) {}

  /** @returns the port; if the given one is 0, any free port */
  async listen(port: number, host: string): Promise<number> {
    collectDefaultMetrics({ register: this.counters.registry }); // memory, file descriptors, event-loop lag and the like
    this.server = createServer({ headersTimeout: 5_000, requestTimeout: 10_000 }, (request, response) => {
      response.setHeader('X-Request-Id', requestIdFrom(request.headers['x-request-id']));
      this.answer(request, response).catch((error: unknown) => {
        fail(response, error);
      });
    });
    handleProtocolErrors(this.server);
    this.server.listen(port, host);
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  private async answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (url?.split('?')[0] !== '/metrics') throw new NoSuchRouteError();
    if (method !== 'GET' && method !== 'HEAD') throw new MethodNotAllowedError(['GET', 'HEAD']);
    const { registry } = this.counters;
    const text = await registry.metrics();
    if (this.isStopping) response.shouldKeepAlive = false;
    response.writeHead(200, { 'Content-Type': registry.contentType, 'Cache-Control': 'no-store' });
    response.end(text);
  }

  /** Completes the scrapes that were already sent, and waits for no others. */
  async onApplicationShutdown(): Promise<void> {
    const { server } = this;
    if (!server?.listening) return;
    this.isStopping = true;
    await closeListener(server);
    const closed = once(server, 'close');
    server.close();
    const late = setTimeout(() => {
      server.closeAllConnections();
    }, SCRAPE_MS);
    await closed;
    clearTimeout(late);
  }
}

function fail(response: ServerResponse, error: unknown): void {
  const { body, headers } = toErrorReply(error);
  response.writeHead(body.status, { ...headers, 'Content-Type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(body));
}
