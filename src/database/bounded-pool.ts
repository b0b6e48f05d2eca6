import type { Duplex } from 'node:stream';
import pg from 'pg';
import { DatabaseFailureError } from '../common/errors/database-unavailable.js';
import { AbandonedConnections } from './abandoned-connections.js';
import { type PoolClient, READ_ONLY, UNRESPONSIVE } from './pool-client.js';

/**
 * Maximum number of queued requests per connection. A further request would time out before its
 * turn, and only delay the others: it is refused at once.
 */
const WAITING_PER_CONNECTION = 100;

/**
 * Milliseconds for which a connection to a read-only server is kept, so that it is replaced at most
 * once a second.
 */
const READ_ONLY_LIFETIME_MS = 1_000;

export class DatabaseBusyError extends DatabaseFailureError {
  readonly failure = 'busy';

  constructor() {
    super('The service has more work than it can take');
  }
}

type Connected = Parameters<pg.Pool['connect']>[0];

/** Members of `pg.Pool` that its types omit. Tests assert their behaviour. */
interface Internals {
  readonly _clients: readonly Lent[];
  readonly _idle: readonly { readonly client: Lent }[];
  /** Connections that the pool closes when they are released. */
  readonly _expired: WeakSet<object>;
  readonly _remove: (client: Lent, done: () => void) => void;
  readonly _pulseQueue: () => void;
}

/** A connection of this pool, with members of `pg.Client` that the types omit. */
type Lent = NodeJS.EventEmitter &
  Pick<PoolClient, 'readOnly' | 'inTransaction' | 'openedAt' | 'refusal'> & {
    readonly connection: { readonly stream: Duplex };
    /** The id of the server's process. */
    readonly processID: number | null;
  };

const lent = (client: pg.PoolClient): Lent => client as unknown as Lent;

/**
 * Whether the connection was closed after a timeout. The driver is told of it moments later, and
 * until then `pg.Pool` would lend the connection to the next request that waits.
 */
const isClosed = ({ connection }: Lent): boolean => connection.stream.destroyed;

/**
 * A `pg.Pool` with a bounded queue that abandons unusable servers:
 *
 * - When one connection is unresponsive, the idle ones are closed, since a failover or a lost NAT
 *   entry affects all of them.
 * - Connections to a server that takes no writes, such as a demoted primary, are replaced once a
 *   second: the address may then lead to the new primary. Reads continue.
 * - Connections that were closed under a running statement are limited: see `AbandonedConnections`.
 * - A connection that is released in a transaction is closed, and the server rolls it back: what
 *   the next request wrote in it would be acknowledged without a commit or, after an error,
 *   refused.
 */
export class BoundedPool extends pg.Pool {
  private readonly readOnly = new Set<Lent>();
  private readonly abandoned: AbandonedConnections;

  constructor(config?: pg.PoolConfig) {
    super(config);
    this.abandoned = new AbandonedConnections(this.options.max, async (work) => {
      const client = await this.connect();
      try {
        return await work(client);
      } finally {
        client.release();
      }
    });
    this.on('connect', (client) => {
      this.watch(lent(client));
    });
    this.on('release', (_error, client) => {
      const isUnusable = lent(client).inTransaction || isClosed(lent(client));
      if (isUnusable || this.isOverdue(lent(client))) this.internals._expired.add(client);
    });
    this.on('remove', (client) => this.readOnly.delete(lent(client)));
  }

  /** Connections that were closed while the server may still execute their statement. */
  get abandonedCount(): number {
    return this.abandoned.size;
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(connected: Connected): void;
  override connect(connected?: Connected): Promise<pg.PoolClient> | void {
    if (this.waitingCount >= this.options.max * WAITING_PER_CONNECTION) {
      if (!connected) return Promise.reject(new DatabaseBusyError());
      connected(new DatabaseBusyError(), undefined, () => undefined);
      return;
    }
    if (this.readOnly.size > 0) this.discardIdle((client) => this.isOverdue(client));
    if (!connected) return super.connect();
    super.connect(connected);
  }

  override end(): Promise<void>;
  override end(ended: () => void): void;
  override end(ended?: () => void): Promise<void> | void {
    this.abandoned.stop();
    if (!ended) return super.end();
    super.end(ended);
  }

  /** Call this when the server of the pool is read-only: all connections may lead to it. */
  markReadOnly(): void {
    for (const client of this.internals._clients) this.readOnly.add(client);
  }

  private watch(client: Lent): void {
    client.refusal = (text) => this.abandoned.refusal(text);
    if (client.readOnly) this.readOnly.add(client);
    client.on(READ_ONLY, () => {
      this.markReadOnly();
    });
    client.once(UNRESPONSIVE, () => {
      if (client.processID !== null) this.abandoned.add(client.processID);
      this.discardIdle(() => true);
    });
  }

  private isOverdue(client: Lent): boolean {
    return this.readOnly.has(client) && performance.now() - client.openedAt >= READ_ONLY_LIFETIME_MS;
  }

  /**
   * Closes idle connections. They are removed from the pool before this returns, so none of them is
   * used again.
   */
  private discardIdle(isConcerned: (client: Lent) => boolean): void {
    const { internals } = this;
    for (const { client } of [...internals._idle]) {
      if (!isConcerned(client)) continue;
      this.readOnly.delete(client);
      internals._remove(client, () => {
        internals._pulseQueue();
      });
      client.connection.stream.destroy();
    }
  }

  private get internals(): Internals {
    return this as unknown as Internals;
  }
}
