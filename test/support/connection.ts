import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { RunningServer } from './server-process.js';

/** One connection, to which a test writes bytes as they are, at any moment. */
export class Connection {
  received = '';

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => (this.received += String(chunk)));
    socket.on('error', (error) => (this.received += `[${error.message}]`));
  }

  static to({ url }: RunningServer): Promise<Connection> {
    return Connection.toPort(Number(new URL(url).port));
  }

  static async toPort(port: number): Promise<Connection> {
    const socket = connect(port, '127.0.0.1');
    const connection = new Connection(socket);
    await once(socket, 'connect');
    return connection;
  }

  send(text: string): void {
    this.socket.write(text);
  }

  /** Sends the text, and returns once the kernel has taken it. */
  async sent(text: string): Promise<void> {
    await new Promise((done) => this.socket.write(text, done));
  }

  async answers(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.received)) await once(this.socket, 'data');
  }

  /** Returns once the connection is closed, be it by a reset. */
  async closes(): Promise<void> {
    if (!this.socket.closed) await new Promise((done) => this.socket.once('close', done));
  }
}
