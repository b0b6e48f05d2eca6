import type { Server, Socket } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/**
 * Milliseconds without a new connection after which no more is expected. A client whose last packet of the handshake was
 * dropped sends again after 200 ms.
 */
const QUIET_MS = 250;
/** Milliseconds after which the listener is closed although connections still arrive: with their requests, 5 s at most. */
const LIMIT_MS = 2_500;
/** Milliseconds between two looks. */
const STEP_MS = 10;

/** The handle of a listening socket: internal to Node, so it may be missing in another version. */
interface Listening {
  readonly _handle?: { readonly listen?: (backlog: number) => unknown } | null;
}

/**
 * Accepts the connections in the listener's queue. To be called right before `server.close()`, which resets those that
 * the kernel has completed and the process has not accepted, with the requests that were sent on them.
 *
 * Shrinks the queue first, so that the kernel completes no more connections than are accepted. Where Node does not offer
 * that, the queue is emptied all the same. Returns at once when it is empty already.
 */
export async function acceptQueue(server: Server): Promise<void> {
  const start = performance.now();
  let latest = -Infinity;
  let accepted: Socket[] = [];
  // Node accepts one connection in each turn of the event loop: a turn must not wait for the work of the one before.
  const postpone = (socket: Socket): void => {
    latest = performance.now();
    accepted.push(socket.pause());
  };
  server.on('connection', postpone);
  (server as Listening)._handle?.listen?.(0);
  await nextTurn(); // from here to the next turn, the event loop looks once for connections
  await nextTurn();
  while (performance.now() < Math.min(latest + QUIET_MS, start + LIMIT_MS)) {
    for (const socket of accepted) socket.resume();
    accepted = [];
    await sleep(STEP_MS);
    await nextTurn();
  }
  for (const socket of accepted) socket.resume();
  server.off('connection', postpone);
}
