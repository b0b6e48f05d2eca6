import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { DatabaseBusyError } from './bounded-pool.js';

/** What may wait for one subject: a second of commits to one row. What comes behind it is refused at once. */
const MAX_WAITING = 500;

/** Milliseconds. Whoever has waited longer is not begun any more: with the bounds of its statement it would outlast its request. */
const MAX_WAIT_MS = 1_000;

interface Waiting {
  readonly since: number;
  readonly begin: () => void;
  readonly giveUp: (error: unknown) => void;
}

/**
 * Lets pieces of work on one subject, such as the changes of one row, happen one after the other, in their order. So
 * whoever waits for a row holds one connection, however many want it.
 */
export class Turns {
  /** By each subject that is being worked on: who waits for it. */
  private readonly queues = new Map<string, Waiting[]>();

  /** @throws what the work throws, or DatabaseBusyError when too much waits, or waits for too long */
  async take<T>(subject: string, work: () => Promise<T>): Promise<T> {
    const queue = this.queues.get(subject);
    if (queue) await this.wait(queue);
    else this.queues.set(subject, []);
    try {
      const done = await work();
      this.pass(subject);
      return done;
    } catch (error) {
      this.pass(subject, error);
      throw error;
    }
  }

  private wait(queue: Waiting[]): Promise<void> {
    if (queue.length >= MAX_WAITING) throw new DatabaseBusyError();
    return new Promise((begin, giveUp) => {
      queue.push({ since: performance.now(), begin, giveUp });
    });
  }

  /**
   * Whose turn is next. Where the database was too slow for the one before, as it is while somebody holds the row, the others
   * have waited as long, and give up with it.
   */
  private pass(subject: string, error?: unknown): void {
    const queue = this.queues.get(subject) ?? [];
    const failed = error !== undefined && isDatabaseUnavailable(error);
    for (let next = queue.shift(); next; next = queue.shift()) {
      if (failed) next.giveUp(error);
      else if (performance.now() - next.since > MAX_WAIT_MS) next.giveUp(new DatabaseBusyError());
      else {
        next.begin();
        return;
      }
    }
    this.queues.delete(subject);
  }
}
