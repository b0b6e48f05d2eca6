import pg from 'pg';
import { DomainError } from '../common/errors/domain.error.js';

/**
 * Pieces of work that may wait for each connection. What comes behind them would time out before its turn, and only make
 * the others slower: it is refused at once.
 */
const WAITING_PER_CONNECTION = 100;

export class DatabaseBusyError extends DomainError {
  readonly kind = 'unavailable';

  constructor() {
    super('The service has more work than it can take');
  }
}

type Connected = Parameters<pg.Pool['connect']>[0];

/** A pool with a queue that ends somewhere. */
export class BoundedPool extends pg.Pool {
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
}
