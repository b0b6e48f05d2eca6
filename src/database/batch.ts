import type { Span } from '@opentelemetry/api';
import DataLoader from 'dataloader';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { activeSpans, inSpans } from '../common/active-spans.js';
import { DatabaseBusyError } from './bounded-pool.js';
import { isConflict, isLockTimeout } from './retry.js';

/** Questions in one statement: enough that its fixed costs no longer count, few enough that none waits for the others. */
const MAX_SIZE = 100;

/** Statements of one kind at a time: while some are under way, the next one gathers what comes. */
const MAX_UNDER_WAY = 2;

/** Batches that wait for their turn. What comes behind them is refused at once. */
const MAX_HELD = 10;

export interface Questions<Q, A> {
  /**
   * Answers all questions with one statement, in their order. It must wait for nobody, such as the holder of a lock.
   * Undefined stands for a question that has to be asked alone.
   */
  readonly together: (questions: readonly Q[]) => Promise<readonly (A | undefined)[]>;
  /** Answers one question, and may wait for it. */
  readonly alone: (question: Q) => Promise<A>;
  /** Two questions of one subject are asked one after the other. By default any two may be asked together. */
  readonly subjectOf?: (question: Q) => string;
}

/** A question, and for whom it is asked. */
interface Asked<Q> {
  readonly question: Q;
  readonly spans: readonly Span[];
}

/**
 * Asks the database together what is asked at the same moment: one statement, one round trip and, for writes, one commit
 * for all requests that arrive in one turn of the event loop. Nothing is remembered from one batch to the next.
 *
 * Why it is worth its lines is measured in docs/performance.md. What it promises:
 *
 * - An idle server adds no wait: the first question is asked at the end of its turn of the event loop.
 * - No question waits for another one's row, fails for another one's data, or is lost in a tie with its own twin: what a
 *   batch cannot decide is asked alone, and of two of one subject the second is asked after the first. So whoever waits for a
 *   row holds one connection, however many want it.
 * - When the database is away all of a batch learn it, as each would have by itself.
 */
export class Batch<Q, A> {
  private readonly loader: DataLoader<Asked<Q>, Promise<A>>;
  private readonly held: (() => void)[] = [];
  /** By subject: done when the question about it that is under way is. */
  private readonly busy = new Map<string, Promise<void>>();
  private underWay = 0;

  constructor(private readonly questions: Questions<Q, A>) {
    this.loader = new DataLoader<Asked<Q>, Promise<A>>((batch) => Promise.resolve(this.answer(batch)), {
      cache: false,
      maxBatchSize: MAX_SIZE,
      batchScheduleFn: (dispatch) => {
        if (this.underWay < MAX_UNDER_WAY) setImmediate(dispatch);
        else this.held.push(dispatch);
      },
    });
  }

  /** @throws what the statement throws, and DatabaseBusyError when too many batches wait already */
  async ask(question: Q): Promise<A> {
    if (this.held.length >= MAX_HELD) throw new DatabaseBusyError();
    return await this.loader.load({ question, spans: activeSpans() });
  }

  /** Each question gets a promise of its own, so that none waits for what another one has to do alone. */
  private answer(batch: readonly Asked<Q>[]): Promise<A>[] {
    const travelling: Asked<Q>[] = [];
    const outcomes = batch.map((asked) => {
      const { question, spans } = asked;
      const subject = this.questions.subjectOf?.(question);
      const before = subject === undefined ? undefined : this.busy.get(subject);
      if (before) return before.then(() => inSpans(spans, () => this.ask(question)));
      const place = travelling.push(asked) - 1;
      const outcome = Promise.resolve()
        .then(() => answers)
        .then((all) => all[place] ?? inSpans(spans, () => this.questions.alone(question)));
      if (subject !== undefined) this.occupy(subject, outcome);
      return outcome;
    });
    const answers = this.travel(travelling);
    return outcomes;
  }

  /**
   * Lets others of a subject wait until this one is done, with no connection of theirs. If the database was too slow for it, as
   * it is where somebody holds the row, they have waited as long, and give up with it.
   */
  private occupy(subject: string, outcome: Promise<A>): void {
    const done = outcome.then(
      () => {
        this.busy.delete(subject);
      },
      (error: unknown) => {
        this.busy.delete(subject);
        if (isDatabaseUnavailable(error)) throw error;
      },
    );
    done.catch(() => undefined); // nobody may be waiting
    this.busy.set(subject, done);
  }

  private async travel(batch: readonly Asked<Q>[]): Promise<readonly (A | undefined)[]> {
    if (batch.length === 0) {
      this.held.shift()?.();
      return [];
    }
    this.underWay += 1;
    try {
      const spans = batch.flatMap((asked) => asked.spans);
      return await inSpans(spans, () => this.questions.together(batch.map(({ question }) => question)));
    } catch (error) {
      if (isDatabaseUnavailable(error) && !isConflict(error) && !isLockTimeout(error)) throw error;
      return []; // some row's fault: each alone shows whose
    } finally {
      this.underWay -= 1;
      this.held.shift()?.();
    }
  }
}
