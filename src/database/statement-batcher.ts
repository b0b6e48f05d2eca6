import type { Span } from '@opentelemetry/api';
import DataLoader from 'dataloader';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { activeSpans, inSpans } from '../common/active-spans.js';
import { DatabaseBusyError } from './bounded-pool.js';
import { isConflict, isLockTimeout } from './retry.js';
import { SerialQueue } from './serial-queue.js';

/**
 * Maximum number of requests in one statement: enough that its fixed costs are negligible, few
 * enough that the batch does not delay them.
 */
const MAX_SIZE = 100;

/**
 * Maximum number of statements of one batcher in flight: meanwhile, the next one collects requests.
 */
const MAX_IN_FLIGHT = 2;

/** Maximum number of queued batches. Further requests are rejected at once. */
const MAX_QUEUED_BATCHES = 10;

export interface BatchHandlers<Request, Result> {
  /**
   * Runs all requests in one statement, and returns their results in order. It must not wait for a
   * lock. Undefined means that the request must run alone.
   */
  readonly runMany: (requests: readonly Request[]) => Promise<readonly (Result | undefined)[]>;
  /** Runs one request, and may wait for a lock. */
  readonly runOne: (request: Request) => Promise<Result>;
  /** Requests with one key run one after another. By default any two may share a statement. */
  readonly keyOf?: (request: Request) => string;
  /** Called with the size of each batch that is sent. */
  readonly onBatch?: (size: number) => void;
}

/** A request, and the spans of its traces. */
interface Traced<Request> {
  readonly request: Request;
  readonly spans: readonly Span[];
}

/**
 * Sends requests that arrive in one turn of the event loop together: one statement, one round trip
 * and, for writes, one commit for all of them. Nothing is cached from one batch to the next.
 * docs/performance.md states the gain.
 *
 * - An idle server adds no wait: the first request is sent at the end of its turn of the event
 *   loop.
 * - No request waits for the lock of another, fails for the data of another, or deadlocks with a
 *   duplicate of itself: a request without a result in the batch runs alone, and of two requests
 *   with one key the second runs after the first (`SerialQueue`).
 * - If the database is unavailable, every request of the batch fails with that error.
 */
export class StatementBatcher<Request, Result> {
  private readonly loader: DataLoader<Traced<Request>, Promise<Result>>;
  private readonly waitingBatches: (() => void)[] = [];
  private readonly serial = new SerialQueue();
  /** Statements that have been sent, or will be at the end of this turn of the event loop. */
  private statementsInFlight = 0;
  private requestsInFlight = 0;
  private requestsCollected = 0;

  constructor(private readonly handlers: BatchHandlers<Request, Result>) {
    this.loader = new DataLoader<Traced<Request>, Promise<Result>>((batch) => Promise.resolve(this.results(batch)), {
      // Stryker disable next-line BooleanLiteral: a cache would only grow, as each request is new
      cache: false,
      maxBatchSize: MAX_SIZE,
      batchScheduleFn: (dispatch) => {
        if (this.statementsInFlight === MAX_IN_FLIGHT) {
          this.waitingBatches.push(dispatch);
          return;
        }
        this.statementsInFlight += 1;
        setImmediate(dispatch);
      },
    });
  }

  /** Requests in statements that have been sent. */
  get inFlight(): number {
    return this.requestsInFlight;
  }

  /** Queued requests. */
  get queued(): number {
    return this.requestsCollected + this.serial.queued;
  }

  /** @throws what the statement throws, and DatabaseBusyError when too many requests wait */
  run(request: Request): Promise<Result> {
    const traced = { request, spans: activeSpans() };
    const key = this.handlers.keyOf?.(request);
    return key === undefined ? this.load(traced) : this.serial.run(key, () => this.load(traced));
  }

  private async load(traced: Traced<Request>): Promise<Result> {
    if (this.waitingBatches.length >= MAX_QUEUED_BATCHES) throw new DatabaseBusyError();
    this.requestsCollected += 1;
    return await this.loader.load(traced);
  }

  /** Each request has its own promise, so that none waits for another that runs alone. */
  private results(batch: readonly Traced<Request>[]): Promise<Result>[] {
    this.requestsCollected -= batch.length;
    const results = this.send(batch);
    return batch.map(async ({ request, spans }, index) => {
      const result = (await results)[index];
      return result === undefined ? inSpans(spans, () => this.handlers.runOne(request)) : result;
    });
  }

  private async send(batch: readonly Traced<Request>[]): Promise<readonly (Result | undefined)[]> {
    this.requestsInFlight += batch.length;
    this.handlers.onBatch?.(batch.length);
    try {
      const spans = batch.flatMap((traced) => traced.spans);
      return await inSpans(spans, () => this.handlers.runMany(batch.map(({ request }) => request)));
    } catch (error) {
      if (isDatabaseUnavailable(error) && !isConflict(error) && !isLockTimeout(error)) throw error;
      return []; // one row made the statement fail: run each alone to find which
    } finally {
      this.requestsInFlight -= batch.length;
      const next = this.waitingBatches.shift();
      if (next) next();
      else this.statementsInFlight -= 1;
    }
  }
}
