import type { ClientConfig, QueryResult } from 'pg';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';
import { SessionClient } from './session-client.js';

/** Emitted by a connection whose other end did not answer in time. */
export const SILENCE = Symbol('silence');

/** Milliseconds for an answer. Above the server's own time-outs: it is for a server that says nothing at all. */
const SILENCE_TIMEOUT_MS = 850;

type Callback = (error?: Error) => void;

interface Internals {
  readonly connect: (done: Callback) => void;
  readonly query: (...given: unknown[]) => unknown;
  readonly connection: { readonly stream: { readonly destroy: () => void } };
}

/**
 * A connection of the pool that gives up for good. After a time-out of its own, `query_timeout`, `pg` leaves the connection
 * open, and the pool lends it again: a connection whose other end is gone without a word (a failover, a lost NAT entry)
 * would fail request after request. And whatever goes wrong while connecting, from DNS to TLS to a server that takes nobody
 * in, is the database's absence to a caller.
 *
 * `pg` is asked with a callback. For a promise or a time-out it would write a function to a property of each query, and V8
 * makes such functions in the old part of its heap, where they keep the rows and what waits for them until the next major
 * collection (docs/performance.md).
 */
export class PoolClient extends SessionClient {
  constructor(config?: ClientConfig) {
    super(config);
    const { connect, query, connection } = this as unknown as Internals;

    // The pool listens only while nobody has borrowed it. Whoever has learns of the loss from its query; an 'error' that nobody
    // hears of would end the process.
    this.on('error', () => undefined);

    // The pool connects with a callback, and TypeORM asks for promises.
    Object.assign(this, {
      connect: (done: Callback) => {
        connect.call(this, (error?: Error) => {
          done(error && new DatabaseUnreachableError(error));
        });
      },
      query: (...given: unknown[]) => {
        const [statement, values] = given;
        if (!isPromised(given)) return query.apply(this, given);
        return new Promise<QueryResult>((resolve, reject) => {
          const timer = setTimeout(() => {
            reject(new DatabaseUnreachableError(new Error('The database did not answer in time'), 'timeout'));
            connection.stream.destroy();
            this.emit(SILENCE);
          }, patience(statement));
          query.call(this, statement, values, (error: Error | undefined, result: QueryResult) => {
            clearTimeout(timer);
            if (error) reject(error);
            else resolve(result);
          });
        });
      },
    });
  }
}

/** Whether the answer is to be a promise: no callback is given, and nothing that sends itself, as a stream of rows does. */
const isPromised = (given: readonly unknown[]): boolean =>
  !given.some((part) => typeof part === 'function') && (given[0] as { submit?: unknown }).submit === undefined;

/** Milliseconds. A statement that may take longer says so itself, in `query_timeout`. */
const patience = (statement: unknown): number =>
  (statement as { query_timeout?: number }).query_timeout ?? SILENCE_TIMEOUT_MS;
