import type { Span } from '@opentelemetry/api';
import DataLoader from 'dataloader';
import { isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { activeSpans, inSpans } from '../common/active-spans.js';
import { DatabaseBusyError } from './bounded-pool.js';
import { isConflict, isLockTimeout } from './retry.js';
import { Turns } from './turns.js';

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
 *   batch cannot decide is asked alone, and of two of one subject the second is asked after the first (`Turns`).
 * - When the database is away all of a batch learn it, as each would have by itself.
 */
export class Batch<Q, A> {
  private readonly loader: DataLoader<Asked<Q>, Promise<A>>;
  private readonly held: (() => void)[] = [];
  private readonly turns = new Turns();
  /** Statements that have been sent, or will be at the end of this turn of the event loop. */
  private underWay = 0;

  constructor(private readonly questions: Questions<Q, A>) {
    this.loader = new DataLoader<Asked<Q>, Promise<A>>((batch) => Promise.resolve(this.answer(batch)), {
      cache: false,
      maxBatchSize: MAX_SIZE,
      batchScheduleFn: (dispatch) => {
        if (this.underWay === MAX_UNDER_WAY) {
          this.held.push(dispatch);
          return;
        }
        this.underWay += 1;
        setImmediate(dispatch);
      },
    });
  }

  /** @throws what the statement throws, and DatabaseBusyError when too much waits already */
  ask(question: Q): Promise<A> {
    const asked = { question, spans: activeSpans() };
    const subject = this.questions.subjectOf?.(question);
    return subject === undefined ? this.load(asked) : this.turns.take(subject, () => this.load(asked));
  }

  private async load(asked: Asked<Q>): Promise<A> {
    if (this.held.length >= MAX_HELD) throw new DatabaseBusyError();
    return await this.loader.load(asked);
  }

  /** Each question gets a promise of its own, so that none waits for what another one has to do alone. */
  private answer(batch: readonly Asked<Q>[]): Promise<A>[] {
    const answers = this.travel(batch);
    return batch.map(async ({ question, spans }, place) => {
      const answer = (await answers)[place];
      return answer === undefined ? inSpans(spans, () => this.questions.alone(question)) : answer;
    });
  }

  private async travel(batch: readonly Asked<Q>[]): Promise<readonly (A | undefined)[]> {
    try {
      const spans = batch.flatMap((asked) => asked.spans);
      return await inSpans(spans, () => this.questions.together(batch.map(({ question }) => question)));
    } catch (error) {
      if (isDatabaseUnavailable(error) && !isConflict(error) && !isLockTimeout(error)) throw error;
      return []; // some row's fault: each alone shows whose
    } finally {
      const next = this.held.shift();
      if (next) next();
      else this.underWay -= 1;
    }
  }
}
