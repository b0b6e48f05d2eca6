import type { Span } from '@opentelemetry/api';
import { activeSpans, inSpans } from '../common/active-spans.js';
import { DatabaseBusyError } from '../database/bounded-pool.js';
import { IncompleteResultError } from '../database/statement.js';
import { StatementBatcher } from '../database/statement-batcher.js';
import type { CreditEntry } from './credit-entry.entity.js';
import { isSame, type Movement } from './credits.statements.js';
import type { CreditHold } from './holds/credit-hold.entity.js';

/**
 * Maximum number of movements of one account in one statement: enough that the commit costs little
 * for each, few enough that a statement of full groups (`StatementBatcher`) is far from its
 * timeout. The 12 bits of a position would allow 4095.
 */
const MAX_GROUP_SIZE = 50;

/** Maximum number of queued movements of one account. Further ones are rejected at once. */
const MAX_QUEUED = 500;

/** The entry and the hold that a movement has made or found. Without either, it was refused. */
export interface Outcome {
  /** The entry of its transaction id. */
  readonly entry: CreditEntry | null;
  /** The hold of its transaction id, after the movement. */
  readonly hold: CreditHold | null;
  /** Whether this movement changed nothing. */
  readonly replayed: boolean;
  readonly account: Account;
}

/** The credits of an account after a statement. */
export interface Account {
  readonly balance: number;
  /** Credits of open holds that have not expired. */
  readonly held: number;
}

/** The outcome of each movement of a group. An error concerns that movement only. */
export type Outcomes = readonly (Outcome | 'unknown_user' | Error)[];

export interface MovementHandlers {
  /**
   * Runs groups of movements, each of a different account, in one statement. Undefined means that
   * the account is locked, or that its movements must run separately for another reason.
   */
  readonly runMany: (groups: readonly (readonly Movement[])[]) => Promise<readonly (Outcomes | undefined)[]>;
  /** Runs the movements of one account, and waits for its lock. */
  readonly runOne: (group: readonly Movement[]) => Promise<Outcomes>;
  /** Called with the size of each batch that is sent. */
  readonly onBatch?: (size: number) => void;
}

/** Movements of one account that share a statement, in the order of their arrival. */
class Group {
  readonly movements: Movement[] = [];
  readonly spans: Span[] = [];
  /** The outcome of each movement. */
  outcomes: Promise<Outcomes> = Promise.resolve([]);
  isClosed = false;
  private readonly byTransactionId = new Map<string, { readonly movement: Movement; readonly index: number }>();

  constructor(readonly userId: string) {}

  get isFull(): boolean {
    return this.movements.length === MAX_GROUP_SIZE;
  }

  find(transactionId: string): { readonly movement: Movement; readonly index: number } | undefined {
    return this.byTransactionId.get(transactionId);
  }

  /** @returns the index of the movement */
  add(movement: Movement): number {
    const index = this.movements.push(movement) - 1;
    this.byTransactionId.set(movement.transactionId, { movement, index });
    this.spans.push(...activeSpans());
    return index;
  }

  async outcomeOf(index: number): Promise<Outcome | 'unknown_user'> {
    const { [index]: outcome = new IncompleteResultError() } = await this.outcomes;
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }
}

/**
 * Sends the movements of an account that arrive in one turn of the event loop, or while its
 * previous statement is in flight, together and in the order of their arrival. Movements of several
 * accounts share a statement (`StatementBatcher`).
 *
 * - All movements of an account that another transaction has locked wait on one connection.
 * - Of two equal movements in a group, the second gets the outcome of the first. A different
 *   movement with the id of an earlier one starts the next group, in which the statement finds the
 *   earlier entry.
 * - If the database is unavailable, every movement fails with that error. Repeating a movement is
 *   safe.
 */
export class MovementBatcher {
  private readonly batcher: StatementBatcher<Group, Outcomes>;
  /** The groups that accept further movements, by account. */
  private readonly open = new Map<string, Group>();
  /** The number of queued movements, by account. */
  private readonly waiting = new Map<string, number>();
  private movementsInFlight = 0;

  constructor({ runMany, runOne, onBatch }: MovementHandlers) {
    this.batcher = new StatementBatcher({
      runMany: (groups) => {
        for (const group of groups) this.close(group);
        const movements = groups.map((group) => group.movements);
        onBatch?.(movements.flat().length);
        return inSpans(
          groups.flatMap(({ spans }) => spans),
          () => runMany(movements),
        );
      },
      runOne: (group) => {
        this.close(group);
        return inSpans(group.spans, () => runOne(group.movements));
      },
      keyOf: ({ userId }) => userId,
    });
  }

  /** Movements in statements that have been sent. */
  get inFlight(): number {
    return this.movementsInFlight;
  }

  /** Movements that wait to be sent. */
  get queued(): number {
    let queued = 0;
    for (const waiting of this.waiting.values()) queued += waiting;
    return queued;
  }

  /**
   * @param movement its `userId` is in lower case, as PostgreSQL writes it
   * @throws what the statement throws, and DatabaseBusyError when too many movements wait
   */
  async run(movement: Movement): Promise<Outcome | 'unknown_user'> {
    const { userId, transactionId } = movement;
    const open = this.open.get(userId);
    const earlier = open?.find(transactionId);
    if (open && earlier && isSame(earlier.movement, movement)) return repeated(await open.outcomeOf(earlier.index));

    const waiting = this.waiting.get(userId) ?? 0;
    if (waiting >= MAX_QUEUED) throw new DatabaseBusyError();
    this.waiting.set(userId, waiting + 1);
    if (open && !earlier && !open.isFull) return open.outcomeOf(open.add(movement));
    const group = new Group(userId);
    const index = group.add(movement);
    this.open.set(userId, group);
    group.outcomes = this.send(group);
    return group.outcomeOf(index);
  }

  /**
   * Sends a group at the end of this turn of the event loop, or after earlier groups of its
   * account.
   */
  private async send(group: Group): Promise<Outcomes> {
    try {
      return await this.batcher.run(group);
    } finally {
      this.close(group); // if it was rejected while it waited
      this.movementsInFlight -= group.movements.length;
    }
  }

  /** Ends a group: no further movement joins it once it is sent. */
  private close(group: Group): void {
    if (group.isClosed) return;
    group.isClosed = true;
    const { userId, movements } = group;
    if (this.open.get(userId) === group) this.open.delete(userId);
    const waiting = (this.waiting.get(userId) ?? 0) - movements.length;
    if (waiting > 0) this.waiting.set(userId, waiting);
    else this.waiting.delete(userId);
    this.movementsInFlight += movements.length;
  }
}

const repeated = (outcome: Outcome | 'unknown_user'): Outcome | 'unknown_user' =>
  typeof outcome === 'string' ? outcome : { ...outcome, replayed: true };
