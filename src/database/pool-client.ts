import { Client, type ClientConfig } from 'pg';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';

/** Emitted by a connection whose other end did not answer in time. */
export const SILENCE = Symbol('silence');

type Callback = (error?: Error) => void;

interface Internals {
  readonly connect: (done: Callback) => void;
  readonly query: (...given: unknown[]) => unknown;
  readonly connection: { readonly stream: { readonly destroy: () => void } };
}

/**
 * A connection of the pool that gives up for good. After a time-out `pg` leaves the connection open, and the pool lends it
 * again: a connection whose other end is gone without a word (a failover, a lost NAT entry) would fail request after
 * request. And whatever goes wrong while connecting, from DNS to TLS to a server that takes nobody in, is the database's
 * absence to a caller.
 */
export class PoolClient extends Client {
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
        const answer = query.apply(this, given);
        if (answer instanceof Promise) {
          answer.catch((error: unknown) => {
            if ((error as Error).message !== 'Query read timeout') return;
            connection.stream.destroy();
            this.emit(SILENCE);
          });
        }
        return answer;
      },
    });
  }
}
