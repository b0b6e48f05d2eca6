import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RequestHandler } from 'express';

/** The response to the latest request that was received on a connection. */
const latestResponses = new WeakMap<Duplex, ServerResponse>();

export const latestResponseOn = (socket: Duplex): ServerResponse | undefined => latestResponses.get(socket);

/** Number of requests of a connection that are queued behind another one. */
const queued = new WeakMap<Duplex, number>();
/** Limits the memory that one connection can occupy. No client pipelines this many requests. */
const MAX_QUEUED = 100;

/**
 * Processes the requests of one connection one after the other. Node passes pipelined requests on
 * at once and sends their responses in order, but the second of two writes must see the first one
 * (RFC 9112, section 9.3.2), and a request behind one whose response closes the connection must
 * have no effect. Other connections are served between two of these requests. A connection with too
 * many queued requests is destroyed.
 */
export const serializePipelined: RequestHandler = (request, response, next) => {
  const { socket } = request;
  const previous = latestResponses.get(socket);
  latestResponses.set(socket, response);
  if (!previous || previous.closed) {
    next();
    return;
  }
  const ahead = queued.get(socket) ?? 0;
  if (ahead >= MAX_QUEUED) {
    socket.destroy();
    return;
  }
  queued.set(socket, ahead + 1);
  previous.once('close', () => {
    setImmediate(() => {
      queued.set(socket, (queued.get(socket) ?? 1) - 1);
      if (socket.writable) next();
    });
  });
};
