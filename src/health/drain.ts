import type { Server, ServerResponse } from 'node:http';
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
import { refuse } from '../common/http/node-answers.js';

/** Milliseconds for which a process that is told to stop goes on serving, so that proxies see first that it is not ready. */
export const DRAIN_MS = Symbol('milliseconds to drain');

/** Milliseconds in which a connection that was just made may begin to speak. */
const SILENCE_MS = 250;
/** Milliseconds that a request may still take to come whole. Node looks for late ones no more once its server closes. */
const REST_OF_REQUEST_MS = 3_000;

/** Node keeps there the answer that a connection is busy with. */
interface Answering {
  readonly _httpMessage?: ServerResponse | null;
}

/**
 * Takes leave of callers. From the moment on that the process is told to stop, `/readyz` says so, and each connection is
 * closed with its next answer (`Connection: close`), rather than under a request that is on its way. One that does not say
 * anything is closed soon after the server, and one whose request does not come whole soon after is told so (408).
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

  onApplicationBootstrap(): void {
    // A command has no HTTP side, which its type does not say.
    const { httpAdapter } = this.http as { httpAdapter: { getHttpServer(): Server } | null };
    const server = httpAdapter?.getHttpServer();
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
      const { _httpMessage: answer } = socket as Answering;
      if (answer) answer.shouldKeepAlive = false;
    }
    await sleep(this.drainMs);
    this.timers.push(
      setTimeout(() => {
        for (const socket of this.connections) if (socket.bytesRead === 0) socket.destroy();
      }, SILENCE_MS).unref(),
      setTimeout(() => {
        for (const socket of this.connections) refuse(socket, 'request_timeout');
      }, REST_OF_REQUEST_MS).unref(),
    );
  }

  onApplicationShutdown(): void {
    this.timers.forEach(clearTimeout);
  }
}
