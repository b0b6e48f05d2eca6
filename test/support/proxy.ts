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
  restore(): void;
  close(): Promise<void>;
}

export async function startProxy(databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const pairs = new Set<readonly [Socket, Socket]>();
  let mode: 'pass' | 'refuse' | 'silence' = 'pass';

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
    if (mode === 'pass') client.pipe(upstream).pipe(client);
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));

  const hang = (): void => {
    for (const [client, upstream] of pairs) {
      client.unpipe(upstream).pause();
      upstream.unpipe(client).pause();
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
        upstream.unpipe().once('data', () => {
          for (const socket of pair) socket.resetAndDestroy();
        });
        upstream.resume(); // unpiping paused it
      }
    },
    restore: () => {
      mode = 'pass';
      cut();
    },
    close: ending(async () => {
      cut();
      await new Promise((closed) => server.close(closed));
    }),
  };
}
