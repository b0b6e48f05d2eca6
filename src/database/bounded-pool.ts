import pg from 'pg';
import { DatabaseFailureError } from '../common/errors/database-unavailable.js';
import { SILENCE } from './pool-client.js';

/**
 * Pieces of work that may wait for each connection. What comes behind them would time out before its turn, and only make
 * the others slower: it is refused at once.
 */
const WAITING_PER_CONNECTION = 100;

export class DatabaseBusyError extends DatabaseFailureError {
  readonly failure = 'busy';

  constructor() {
    super('The service has more work than it can take');
  }
}

type Connected = Parameters<pg.Pool['connect']>[0];

/** A pool with a queue that ends somewhere, and which does not learn of a lost server connection by connection. */
export class BoundedPool extends pg.Pool {
  private readonly idle = new Set<pg.PoolClient>();

  constructor(config?: pg.PoolConfig) {
    super(config);
    this.on('acquire', (client) => this.idle.delete(client));
    this.on('release', (_error, client) => this.idle.add(client));
    this.on('remove', (client) => this.idle.delete(client));
    this.on('connect', (client) => {
      (client as pg.PoolClient & NodeJS.EventEmitter).once(SILENCE, () => {
        this.dropIdle();
      });
    });
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(connected: Connected): void;
  override connect(connected?: Connected): Promise<pg.PoolClient> | void {
    if (this.waitingCount >= this.options.max * WAITING_PER_CONNECTION) {
      if (!connected) return Promise.reject(new DatabaseBusyError());
      connected(new DatabaseBusyError(), undefined, () => undefined);
      return;
    }
    if (!connected) return super.connect();
    super.connect(connected);
  }

  /** After a failover or a lost NAT entry all connections are as dead as the one that was found out. */
  private dropIdle(): void {
    for (const client of this.idle) {
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    }
  }
}
