import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { REST_OF_REQUEST_MS } from '../common/time-limits.js';
import { closeListener } from '../common/http/close-listener.js';
import { pendingResponse, refuseConnection } from '../common/http/refuse-connection.js';

/**
 * Milliseconds for which a process continues to serve after a stop signal, so that proxies first
 * see that it is not ready.
 */
export const DRAIN_MS = Symbol('milliseconds to drain');

/** Milliseconds for the first byte of a connection, counted from when the listener closes. */
const FIRST_BYTE_TIMEOUT_MS = 250;

/**
 * Ends connections gracefully. From the stop signal on, `/readyz` returns 503, and each connection
 * is closed with its next response (`Connection: close`), rather than while a request is in
 * transit. After the drain time the listener closes, once the connections in its queue are
 * accepted. A connection without a request is closed soon after that, and one with an incomplete
 * request gets 408.
 */
@Injectable()
export class Drain implements OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly connections = new Set<Socket>();
  private begun = false;
  private readonly timers: NodeJS.Timeout[] = [];

  constructor(
    private readonly http: HttpAdapterHost,
    @Inject(DRAIN_MS) private readonly drainMs: number,
  ) {}

  get isDraining(): boolean {
    return this.begun;
  }

  /**
   * Undefined in a command, which has no HTTP server; the type of the adapter does not allow for
   * that.
   */
  private get server(): Server | undefined {
    return (this.http as { httpAdapter: { getHttpServer(): Server } | null }).httpAdapter?.getHttpServer();
  }

  onApplicationBootstrap(): void {
    const { server } = this;
    server?.on('connection', (socket) => {
      this.connections.add(socket);
      socket.once('close', () => this.connections.delete(socket));
    });
    server?.prependListener('request', (_request, response) => {
      if (this.begun) response.shouldKeepAlive = false;
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.begun = true;
    for (const socket of this.connections) {
      const response = pendingResponse(socket);
      if (response) response.shouldKeepAlive = false;
    }
    await sleep(this.drainMs);
    const { server, connections } = this;
    // Node's own timeouts for incomplete requests end with the listener.
    this.after(REST_OF_REQUEST_MS, () => {
      for (const socket of connections) refuseConnection(socket, 'request_timeout');
    });
    if (server?.listening) await closeListener(server); // Nest closes it next
    this.after(FIRST_BYTE_TIMEOUT_MS, () => {
      for (const socket of connections) if (socket.bytesRead === 0) socket.destroy();
    });
  }

  /**
   * Runs work after a time, once the data that has already arrived is read: a late timer would run
   * before that.
   */
  private after(ms: number, work: () => void): void {
    this.timers.push(setTimeout(() => setImmediate(work), ms).unref());
  }

  onApplicationShutdown(): void {
    this.timers.forEach(clearTimeout);
  }
}
