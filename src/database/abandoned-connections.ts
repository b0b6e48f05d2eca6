import type { ClientBase } from 'pg';
import { DatabaseUnreachableError } from '../common/errors/database-unavailable.js';

/**
 * Milliseconds between two checks of the server: a fraction of the second in which the service must
 * recover.
 */
const INTERVAL_MS = 250;

/**
 * Matches statements that may write to the write-ahead log, and so wait for a synchronous standby
 * at their commit.
 */
const WRITES = /\b(?:INSERT|UPDATE|DELETE)\b/i;

/** Statements of an open transaction that write nothing, and so never wait for a standby. */
const SAVEPOINTS = /^\s*(?:ROLLBACK|ABORT|SAVEPOINT|RELEASE)\b/i;

/**
 * Ids of the server's processes that still execute a statement. Every role may see the state of its
 * own sessions.
 */
const STILL_ACTIVE = `SELECT pid FROM pg_stat_activity WHERE pid = ANY ($1::int[]) AND state = 'active'`;

/** Runs work on a connection of the pool. */
type Borrow = <T>(work: (client: ClientBase) => Promise<T>) => Promise<T>;

/**
 * Counts connections that the pool has closed after a timeout while the server may still execute
 * their statement. A server whose synchronous standby is gone keeps each commit, and its
 * connection, until the standby is back: without a limit these would take all of the server's
 * connections, and reads would fail with the writes.
 *
 * From half a pool on writes are refused, and from a whole pool on every statement except:
 *
 * - ROLLBACK: without it, the pool would lend the connection again with its transaction still open,
 *   and later writes on it would be acknowledged without a commit;
 * - savepoints: if one cannot be set, TypeORM ends the whole transaction, and what its caller
 *   writes next is in no transaction.
 *
 * The statements are not cancelled: a commit that is cancelled while it waits for a standby makes
 * data visible that the standby does not have.
 */
export class AbandonedConnections {
  private readonly processIds = new Set<number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly poolSize: number,
    private readonly borrow: Borrow,
  ) {}

  get size(): number {
    return this.processIds.size;
  }

  add(processId: number): void {
    this.processIds.add(processId);
    this.timer ??= this.lookLater();
  }

  /** @returns an error for a statement that must not be sent now */
  refusal(text: string): Error | undefined {
    const { size } = this.processIds;
    if (size < this.poolSize / 2 || text === STILL_ACTIVE || SAVEPOINTS.test(text)) return undefined;
    if (size < this.poolSize && !WRITES.test(text)) return undefined;
    return new DatabaseUnreachableError(new Error('Statements that timed out still run in the database'), 'timeout');
  }

  /** Stops the checks, including the one in flight. */
  stop(): void {
    clearTimeout(this.timer);
    this.processIds.clear();
  }

  private lookLater(): NodeJS.Timeout {
    return setTimeout(() => {
      void this.look();
    }, INTERVAL_MS).unref();
  }

  private async look(): Promise<void> {
    const looked = [...this.processIds]; // others may be added meanwhile
    try {
      const { rows } = await this.borrow((client) => client.query<{ pid: number }>(STILL_ACTIVE, [looked]));
      const active = new Set(rows.map(({ pid }) => pid));
      for (const processId of looked) if (!active.has(processId)) this.processIds.delete(processId);
    } catch {
      // The database is unavailable, which requests report. The next check may succeed.
    }
    this.timer = this.processIds.size > 0 ? this.lookLater() : undefined;
  }
}
