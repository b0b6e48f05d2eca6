import type { IncomingMessage, Server } from 'node:http';

/** Requests with `Expect: 100-continue`. */
const expectant = new WeakSet<IncomingMessage>();

/**
 * Whether the caller sends its body only after a 100 response (RFC 9110, section 10.1.1).
 */
export const awaitsContinue = (request: IncomingMessage): boolean => expectant.has(request);

/**
 * Passes requests with an Expect header on without an immediate 100 or 417 response: a request is
 * checked before its body is asked for.
 */
export function deferExpectations(server: Server): void {
  server.on('checkContinue', (request, response) => {
    expectant.add(request);
    server.emit('request', request, response);
  });
  // Any other expectation may be ignored (RFC 9110, section 10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
}
