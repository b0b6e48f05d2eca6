import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ending } from './leftovers.js';

const TICK_MS = 50;

/** A way to a local port through which all connections together get so many bytes a second. */
export async function startSlowLine(
  port: number,
  bytesPerSecond: number,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  let budget = 0;
  const refill = setInterval(() => {
    budget = (bytesPerSecond * TICK_MS) / 1000;
  }, TICK_MS);
  const copy = async (from: Socket, to: Socket): Promise<void> => {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let rest = chunk; rest.length > 0;) {
        const part = rest.subarray(0, budget);
        budget -= part.length;
        rest = rest.subarray(part.length);
        if (part.length > 0 && !to.write(part)) await once(to, 'drain');
        if (rest.length > 0) await sleep(TICK_MS / 2);
      }
    }
    to.end();
  };
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) sockets.add(socket.on('error', () => undefined));
    client.pipe(upstream);
    copy(upstream, client).catch(() => client.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    close: ending(async () => {
      clearInterval(refill);
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => server.close(closed));
    }),
  };
}
