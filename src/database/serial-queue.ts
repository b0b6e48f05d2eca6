import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { QUEUE_WAIT_MS } from '../common/time-limits.js';
import { DatabaseBusyError } from './bounded-pool.js';

/**
 * Maximum number of queued requests for one key: a second of commits to one row. Further ones are
 * rejected at once.
 */
const MAX_QUEUED = 500;

interface Waiting {
  readonly since: number;
  readonly start: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs work on one key, such as changes of one row, one after another and in order, so that a
 * contended row occupies one connection, however many requests wait for it.
 */
export class SerialQueue {
  /** The queued requests, for each key with work in flight. */
  private readonly queues = new Map<string, Waiting[]>();

  /** Requests whose work runs. */
  get inFlight(): number {
    return this.queues.size;
  }

  /** Requests that wait. */
  get queued(): number {
    let queued = 0;
    for (const queue of this.queues.values()) queued += queue.length;
    return queued;
  }

  /**
   * @throws what the work throws, or DatabaseBusyError when too many requests are queued or this
   *   one has waited too long
   */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const waiting = this.queues.get(key);
    const queue = waiting ?? [];
    if (waiting) await this.wait(waiting);
    else this.queues.set(key, queue);
    try {
      const result = await work();
      this.next(key, queue);
      return result;
    } catch (error) {
      this.next(key, queue, error);
      throw error;
    }
  }

  private wait(queue: Waiting[]): Promise<void> {
    if (queue.length >= MAX_QUEUED) throw new DatabaseBusyError();
    return new Promise((start, reject) => {
      queue.push({ since: performance.now(), start, reject });
    });
  }

  /**
   * Starts the next work on the key. Work that has waited too long is rejected: with its own
   * statement timeout it would exceed the deadline of its request. If the previous work failed
   * because the database was too slow, for example because another transaction has locked the row,
   * the others have waited as long and are rejected as well.
   */
  private next(key: string, queue: Waiting[], error?: unknown): void {
    const failed = error !== undefined && isDatabaseUnavailable(error);
    for (let waiting = queue.shift(); waiting; waiting = queue.shift()) {
      if (failed) waiting.reject(error);
      else if (performance.now() - waiting.since > QUEUE_WAIT_MS) waiting.reject(new DatabaseBusyError());
      else {
        waiting.start();
        return;
      }
    }
    this.queues.delete(key);
  }
}
