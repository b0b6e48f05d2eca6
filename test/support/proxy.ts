import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { ending } from './leftovers.js';

/** A wire to the database that can be cut. */
export interface Proxy {
  /** The database's URL, through the wire. */
  readonly url: string;
  /** New connections are refused, and those that there are, reset. */
  refuse(): void;
  /** Nothing comes through any more, and nobody is told. */
  silence(): void;
  /** Nothing comes through the connections that there are, and nobody is told; new ones work. */
  forget(): void;
  /** What comes is passed on, but what it is answered is lost, and the connection with it. */
  loseAnswers(): void;
  /**
   * The next answer of the database is lost, its sender gets these bytes in its place, and the
   * connection ends.
   */
  answer(bytes: Uint8Array): void;
  /**
   * A connection ends once the database has answered so many more statements, on any of them. With
   * a message, the end is announced as the shutdown of the server.
   */
  cutAfter(statements: number, how?: 'with a message' | 'without a message'): void;
  /** New connections lead to another database of the same name; those that there are stay. */
  leadTo(databaseUrl: string): void;
  restore(): void;
  close(): Promise<void>;
}

/** How PostgreSQL's ReadyForQuery begins, which ends its answer to each statement. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5]);

const LAST_WORDS = 'SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0';
const SHUTDOWN = Buffer.from(`E\0\0\0${String.fromCharCode(LAST_WORDS.length + 4)}${LAST_WORDS}`, 'latin1');

export async function startProxy(databaseUrl: string): Promise<Proxy> {
  let target = new URL(databaseUrl);
  const pairs = new Set<readonly [Socket, Socket]>();
  let mode: 'pass' | 'refuse' | 'silence' = 'pass';
  let fake: Uint8Array | undefined;
  let remaining = Infinity;
  let announced = false;

  const server = createServer((client) => {
    client.on('error', () => undefined);
    if (mode === 'refuse') {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    upstream.on('error', () => undefined);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    if (mode !== 'pass') return;
    client.pipe(upstream);
    upstream.on('end', () => client.end());
    upstream.on('data', (chunk: Buffer) => {
      if (fake) {
        client.end(fake);
        fake = undefined;
        upstream.destroy();
        return;
      }
      if (READY.equals(chunk.subarray(-6, -1))) remaining -= 1;
      if (remaining > 0) client.write(chunk);
      else {
        client.end(announced ? Buffer.concat([chunk, SHUTDOWN]) : chunk); // which its reader gets before the end
        upstream.destroy();
      }
    });
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));

  const hang = (): void => {
    for (const [client, upstream] of pairs) {
      client.unpipe(upstream).pause();
      upstream.removeAllListeners('data').pause();
    }
  };
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    pairs.clear();
  };

  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    refuse: () => {
      mode = 'refuse';
      cut();
    },
    silence: () => {
      mode = 'silence';
      hang();
    },
    forget: hang,
    loseAnswers: () => {
      for (const pair of pairs) {
        const [, upstream] = pair;
        upstream.removeAllListeners('data').once('data', () => {
          for (const socket of pair) socket.resetAndDestroy();
        });
      }
    },
    answer: (bytes) => {
      fake = bytes;
    },
    cutAfter: (statements, how = 'without a message') => {
      remaining = statements;
      announced = how === 'with a message';
    },
    leadTo: (other) => {
      target = new URL(other);
    },
    restore: () => {
      mode = 'pass';
      fake = undefined;
      remaining = Infinity;
      cut();
    },
    close: ending(async () => {
      cut();
      await new Promise((closed) => server.close(closed));
    }),
  };
}
