import type { Duplex } from 'node:stream';
import type { ClientConfig, QueryResult } from 'pg';
import { databaseFailureOf, DatabaseUnreachableError } from '../common/errors/database-unavailable.js';
import { RESPONSE_TIMEOUT_MS } from '../common/time-limits.js';
import { SessionClient } from './session-client.js';

/**
 * Emitted by a connection if the server did not respond to a statement in time. The connection is
 * then already closed.
 */
export const UNRESPONSIVE = Symbol('unresponsive');

/**
 * Emitted by a connection whose server reports that it is read-only, or refuses a write (25006).
 */
export const READ_ONLY = Symbol('read only');

/**
 * Parameters by which PostgreSQL 14 and later report that a session is read-only, at its start and
 * after each change.
 */
const READ_ONLY_PARAMETERS = ['in_hot_standby', 'default_transaction_read_only'];

type Callback = (error?: Error) => void;

interface ParameterStatus {
  readonly parameterName: string;
  readonly parameterValue: string;
}

interface ReadyForQuery {
  /** Idle, in a transaction, or in one that has failed. */
  readonly status: 'I' | 'T' | 'E';
}

interface Internals {
  readonly connect: (done: Callback) => void;
  readonly query: (...given: unknown[]) => unknown;
  readonly connection: NodeJS.EventEmitter & { readonly stream: Duplex };
}

/**
 * A connection of the pool that closes its socket when a statement times out. `query_timeout` of
 * `pg` leaves the connection open, and the pool uses it again: a connection whose peer has
 * disappeared without closing it (a failover, a lost NAT entry) would fail one request after
 * another. Every failure to connect, from DNS to TLS to a server that accepts no connections, is
 * reported as `DatabaseUnreachableError`.
 *
 * `pg` is called with a callback. For a promise or a timeout it would assign a function to a
 * property of each query, and V8 allocates these closures in its old generation, where they retain
 * the rows and their callbacks until the next major collection (docs/performance.md).
 */
export class PoolClient extends SessionClient {
  /** Whether the server reports that this session is read-only. */
  readOnly = false;

  /** Whether a transaction is open, or has failed and was not rolled back yet. */
  inTransaction = false;

  /** When the connection was opened, in milliseconds of `performance.now()`. */
  openedAt = Infinity;

  /** Refuses a statement before it is sent, by returning an error. The pool sets it. */
  refusal: (text: string) => Error | undefined = () => undefined;

  constructor(config?: ClientConfig) {
    super(config);
    const { connect, query, connection } = this as unknown as Internals;

    // The pool listens only while the connection is idle, and a lost connection also fails the
    // statement in flight. An unhandled 'error' event would end the process.
    this.on('error', () => undefined);

    const reported = new Map<string, string>();
    connection.on('parameterStatus', ({ parameterName, parameterValue }: ParameterStatus) => {
      if (!READ_ONLY_PARAMETERS.includes(parameterName)) return;
      reported.set(parameterName, parameterValue);
      this.readOnly = [...reported.values()].includes('on');
      if (this.readOnly) this.emit(READ_ONLY);
    });

    connection.on('readyForQuery', ({ status }: ReadyForQuery) => {
      this.inTransaction = status !== 'I';
    });

    // The pool connects with a callback, and TypeORM asks for promises.
    Object.assign(this, {
      connect: (done: Callback) => {
        connect.call(this, (error?: Error) => {
          this.openedAt = performance.now();
          done(error && new DatabaseUnreachableError(error));
        });
      },
      query: (...given: unknown[]) => {
        const [statement, values] = given;
        if (!isPromised(given)) return query.apply(this, given);
        const refused = this.refusal(typeof statement === 'string' ? statement : (statement as { text: string }).text);
        if (refused) return Promise.reject(refused);
        return new Promise<QueryResult>((resolve, reject) => {
          const timer = setTimeout(() => {
            reject(new DatabaseUnreachableError(new Error('The database did not answer in time'), 'timeout'));
            connection.stream.destroy();
            this.emit(UNRESPONSIVE);
          }, timeoutOf(statement));
          query.call(this, statement, values, (error: Error | undefined, result: QueryResult) => {
            clearTimeout(timer);
            if (error) {
              if (databaseFailureOf(error) === 'read_only') this.emit(READ_ONLY);
              reject(error);
            } else resolve(result);
          });
        });
      },
    });
  }
}

/**
 * Whether the result must be a promise: neither a callback nor a `Submittable`, such as a stream of
 * rows, is given.
 */
const isPromised = (given: readonly unknown[]): boolean =>
  !given.some((part) => typeof part === 'function') && (given[0] as { submit?: unknown }).submit === undefined;

/** Milliseconds. A statement that may take longer has its own `query_timeout`. */
const timeoutOf = (statement: unknown): number =>
  (statement as { query_timeout?: number }).query_timeout ?? RESPONSE_TIMEOUT_MS;
