import { Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Maximum milliseconds between the last check for connections and closing the listener, since more
 * may have arrived.
 */
const LATEST_LOOK_MS = 0.5;
/**
 * Milliseconds after which the queue is shrunk, because connections arrive as fast as they are
 * accepted.
 */
const SHRINK_AFTER_MS = 250;
/**
 * Milliseconds after which the listener is closed in any case: with the requests on the last
 * connections, a shutdown then takes 5.5 s at most.
 */
const LIMIT_MS = 2_500;

/** The handle of a listening socket: internal to Node, so it may be missing in another version. */
interface Listening {
  readonly _handle?: { readonly listen?: (backlog: number) => unknown } | null;
}

/**
 * Accepts the connections in the queue of a listener, and closes it as soon as the queue is empty.
 * Closing it earlier would reset connections that the kernel has completed and the process has not
 * accepted, with the requests that were sent on them. `server.close()`, which waits for the
 * connections, is called afterwards as usual.
 *
 * If connections arrive too fast for that, the kernel is told to complete no more of them than are
 * accepted, if this version of Node can do so. Doing so from the start would lose connections whose
 * handshake is in progress.
 */
export async function closeListener(server: Server): Promise<void> {
  const start = performance.now();
  const accepted: Socket[] = [];
  // Node accepts one connection in each turn of the event loop: a turn must not be delayed by the
  // work of an earlier connection.
  const postpone = (socket: Socket): void => {
    accepted.push(socket.pause());
  };
  server.on('connection', postpone);
  await nextTurn();
  for (let isEmpty = false; !isEmpty && performance.now() - start < LIMIT_MS;) {
    if (performance.now() - start > SHRINK_AFTER_MS) (server as Listening)._handle?.listen?.(0);
    const [count, began] = [accepted.length, performance.now()];
    await nextTurn(); // meanwhile the event loop checks once for connections
    isEmpty = accepted.length === count && performance.now() - began < LATEST_LOOK_MS;
  }
  Server.prototype.close.call(server); // `close` of an HTTP server closes idle connections first, while others arrive
  server.off('connection', postpone);
  for (const socket of accepted) socket.resume();
}
