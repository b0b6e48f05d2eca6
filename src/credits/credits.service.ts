import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type Actor, APPLICATION, checkActor } from '../audit-trail/actor.js';
import type { AuditOptions, ChangeOptions, TransactionOptions } from '../audit-trail/change-options.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { checkPeriod } from '../common/validation/period.js';
import { isUuid } from '../common/validation/uuid.js';
import { IncompleteResultError } from '../database/statement.js';
import { UsersApiEvents } from '../events/users-api-events.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { UsersService } from '../users/users.service.js';
import type { CreditEntry } from './credit-entry.entity.js';
import {
  BalanceLimitError,
  CaptureAboveHoldError,
  HoldEndedError,
  HoldNotFoundError,
  InsufficientCreditsError,
  InvalidAmountError,
  InvalidHoldDurationError,
  InvalidHoldStatusError,
  InvalidKeyIdError,
  InvalidTransactionIdError,
  InvalidTransactionTypeError,
  TransactionIdTakenError,
} from './credits.errors.js';
import { type CreditFilter, CreditsRepository, type Difference, type HoldFilter } from './credits.repository.js';
import { isEntryOf, type Movement } from './credits.statements.js';
import { type CreditHold, HOLD_STATUSES } from './holds/credit-hold.entity.js';
import { DEFAULT_HOLD_SECONDS, isHoldDuration } from './holds/hold-rules.js';
import type { Outcome } from './movement-batcher.js';
import { DEFAULT_TRANSACTION_TYPE, isTransactionType } from './transaction-type.js';

/** A movement of credits, without its user. */
export interface Transaction {
  /** Credits; an integer from 1. */
  readonly amount: number;
  /** 1 to 255 characters, unique per user: a repeated request with the same id moves nothing. */
  readonly transactionId: string;
  /**
   * 1 to 32 capital letters, digits and underscores, the first one a letter; `MANUAL_ADJUSTMENT` by
   * default.
   */
  readonly transactionType?: string | undefined;
}

export interface CreditRequest extends Transaction {
  readonly userId: string;
  /** The user's key for which the credits are spent, if any. */
  readonly apiKeyId?: string | undefined;
}

/** The entry of a transaction, and whether an earlier request made it. */
export interface Receipt {
  readonly entry: CreditEntry;
  readonly replayed: boolean;
  /**
   * The credits that the user could spend after the movement, and after others in the same
   * statement.
   */
  readonly creditsAvailable: number;
}

/** Credits to hold for work whose price is known only afterwards. */
export interface HoldTransaction extends Transaction {
  /** 1 to 604,800 (a week); 900 by default. Must exceed the duration of the work. */
  readonly expiresInSeconds?: number | undefined;
}

export interface HoldRequest extends CreditRequest, HoldTransaction {}

/** A hold, and whether an earlier request made it. */
export interface HoldReceipt {
  readonly hold: CreditHold;
  readonly replayed: boolean;
  /** The credits that the user could spend afterwards. */
  readonly creditsAvailable: number;
}

/**
 * Credits of a user: integers from 0. The available credits are the balance minus the held ones.
 */
export interface Balance {
  readonly creditsBalance: number;
  /** Of open holds. */
  readonly creditsHeld: number;
  readonly creditsAvailable: number;
}

export const MAX_TRANSACTION_ID_LENGTH = 255;

/**
 * The only way to change a balance. Every call is safe to repeat, any number of times and whatever
 * the outcome of the first call.
 */
@Injectable()
export class CreditsService {
  constructor(
    private readonly entries: CreditsRepository,
    private readonly users: UsersService,
    private readonly events: UsersApiEvents,
  ) {}

  /**
   * @throws InvalidAmountError, InvalidTransactionIdError, InvalidTransactionTypeError,
   *   InvalidKeyIdError, UserNotFoundError, BalanceLimitError, TransactionIdTakenError
   */
  add(request: CreditRequest, options?: ChangeOptions): Promise<Receipt> {
    return this.move(request, 1, options);
  }

  /**
   * Spends credits. In the caller's transaction, a job and its price are committed together or not
   * at all; the transaction remains usable after an error.
   *
   * @throws InvalidAmountError, InvalidTransactionIdError, InvalidTransactionTypeError,
   *   InvalidKeyIdError, UserNotFoundError, InsufficientCreditsError, TransactionIdTakenError
   */
  spend(request: CreditRequest, options?: ChangeOptions): Promise<Receipt> {
    return this.move(request, -1, options);
  }

  /**
   * The user's entries that match a filter, the newest first.
   *
   * @throws InvalidPeriodError, InvalidTransactionIdError, InvalidTransactionTypeError,
   *   InvalidKeyIdError, UserNotFoundError, InvalidPageWindowError, PageOutOfReachError
   */
  async history(userId: string, filter: CreditFilter, window: PageWindow): Promise<Page<CreditEntry>> {
    const { apiKeyId, transactionId, transactionType } = filter;
    checkPeriod(filter);
    if (transactionId !== undefined && !isTransactionId(transactionId)) throw new InvalidTransactionIdError();
    if (transactionType !== undefined && !isTransactionType(transactionType)) throw new InvalidTransactionTypeError();
    if (apiKeyId !== undefined && !isUuid(apiKeyId)) throw new InvalidKeyIdError();
    if (!isUuid(userId)) throw new UserNotFoundError({ id: userId });
    const page = await this.entries.findPage(userId, filter, window);
    if (page.total === 0) await this.users.getById(userId); // tells "no entries" from "no such user"
    return page;
  }

  /**
   * Compares every balance with the sum of its entries, and held credits and captures with their
   * holds: the differences must be none. Takes no locks, but seconds for a million entries.
   *
   * @param onProgress called with the completed share, from 0 to 1
   */
  reconcile(onProgress: (share: number) => void = () => undefined): Promise<Difference[]> {
    return this.entries.findDifferences(onProgress);
  }

  /**
   * The balance of a user, the held credits, and the credits that can be spent.
   *
   * @throws UserNotFoundError
   */
  async balance(userId: string, { manager }: TransactionOptions = {}): Promise<Balance> {
    const account = isUuid(userId) ? await this.entries.findAccount(userId, manager) : null;
    if (!account) throw new UserNotFoundError({ id: userId });
    return {
      creditsBalance: account.balance,
      creditsHeld: account.held,
      creditsAvailable: account.balance - account.held,
    };
  }

  /**
   * Holds credits, so that nothing else can spend them, until `capture` takes some of them,
   * `release` takes none, or the hold expires. Does not change the balance. Safe to repeat while
   * the hold is open: returns the same hold.
   *
   * @throws InvalidAmountError, InvalidTransactionIdError, InvalidTransactionTypeError,
   *   InvalidKeyIdError, InvalidHoldDurationError, UserNotFoundError, InsufficientCreditsError, and
   *   TransactionIdTakenError, also if the hold has ended
   */
  async hold(request: HoldRequest, options: ChangeOptions = {}): Promise<HoldReceipt> {
    checkHold(request);
    const { amount, expiresInSeconds: seconds = DEFAULT_HOLD_SECONDS } = request;
    const movement = this.movementOf(request, { kind: 'hold', credits: 0, hold: { amount, seconds } }, options);
    const { entry, hold, replayed, account } = await this.run(movement, options);
    if (!hold && !entry) throw new InsufficientCreditsError();
    if (hold?.status !== 'OPEN' || !isHoldOf(hold, movement)) throw new TransactionIdTakenError();
    return { hold, replayed, creditsAvailable: account.balance - account.held };
  }

  /**
   * Takes credits of a hold, ends the hold and releases the rest. Never fails for lack of credits.
   * Safe to repeat.
   *
   * @param amount credits, from 1 to those that are held
   * @throws InvalidAmountError, HoldNotFoundError, CaptureAboveHoldError, and HoldEndedError if the
   *   hold has expired, was voided, or was captured with another amount
   */
  async capture(holdId: string, amount: number, options: ChangeOptions = {}): Promise<Receipt> {
    checkAmount(amount);
    const { hold: found, outcome } = await this.end(holdId, { kind: 'capture', credits: -amount }, options);
    const { entry, hold, replayed, account } = outcome;
    if (hold?.status === 'OPEN' && amount > found.amount) throw new CaptureAboveHoldError(found.amount);
    if (!hold || hold.status === 'OPEN') throw new IncompleteResultError();
    if (hold.status !== 'CAPTURED' || hold.captured !== amount) throw new HoldEndedError(hold.status);
    if (!entry) throw new IncompleteResultError();
    if (!replayed) this.publish(entry, options.by ?? APPLICATION, options.manager);
    return { entry, replayed, creditsAvailable: account.balance - account.held };
  }

  /**
   * Voids a hold, which releases all its credits. Safe to repeat. An expired hold is returned as
   * EXPIRED.
   *
   * @throws HoldNotFoundError, and HoldEndedError if the hold was captured
   */
  async release(holdId: string, options: ChangeOptions = {}): Promise<CreditHold> {
    const { hold } = (await this.end(holdId, { kind: 'void', credits: 0 }, options)).outcome;
    if (!hold || hold.status === 'OPEN') throw new IncompleteResultError();
    if (hold.status === 'CAPTURED') throw new HoldEndedError(hold.status);
    return hold;
  }

  /** @throws HoldNotFoundError */
  async getHold(id: string, { manager }: TransactionOptions = {}): Promise<CreditHold> {
    const hold = isUuid(id) ? await this.entries.findHold(id.toLowerCase(), manager) : null;
    if (!hold) throw new HoldNotFoundError();
    return hold;
  }

  /**
   * The user's holds that match a filter, the newest first.
   *
   * @throws InvalidHoldStatusError, UserNotFoundError, InvalidPageWindowError, PageOutOfReachError
   */
  async holds(userId: string, { status }: HoldFilter, window: PageWindow): Promise<Page<CreditHold>> {
    if (status !== undefined && !HOLD_STATUSES.includes(status)) throw new InvalidHoldStatusError();
    if (!isUuid(userId)) throw new UserNotFoundError({ id: userId });
    const page = await this.entries.findHoldPage(userId, { status }, window);
    if (page.total === 0) await this.users.getById(userId); // tells "no holds" from "no such user"
    return page;
  }

  /**
   * Releases the credits of expired holds, in slices. Only cleanup, which runs each minute: an
   * expired hold has no effect, and no request is refused because of it.
   *
   * @param stop ends the work after a slice
   */
  releaseExpiredHolds(stop?: AbortSignal): Promise<void> {
    return this.entries.releaseExpired(stop);
  }

  /** The number of open holds of all users. */
  countOpenHolds(): Promise<number> {
    return this.entries.countOpenHolds();
  }

  private async move(request: CreditRequest, sign: 1 | -1, options: ChangeOptions = {}): Promise<Receipt> {
    checkTransaction(request);
    const { by = APPLICATION, manager } = options;
    const movement = this.movementOf(request, { kind: 'move', credits: sign * request.amount, hold: null }, options);
    const { entry, hold, replayed, account } = await this.run(movement, options);
    if (!entry && hold?.status === 'OPEN') throw new TransactionIdTakenError();
    if (!entry) throw sign < 0 ? new InsufficientCreditsError() : new BalanceLimitError();
    if (!isEntryOf(entry, movement)) throw new TransactionIdTakenError();
    if (!replayed) this.publish(entry, by, manager);
    return { entry, replayed, creditsAvailable: account.balance - account.held };
  }

  /** @throws InvalidKeyIdError, UserNotFoundError, InvalidActorError */
  private movementOf(
    { userId, transactionId, transactionType = DEFAULT_TRANSACTION_TYPE, apiKeyId }: CreditRequest,
    change: Pick<Movement, 'kind' | 'credits' | 'hold'>,
    { by = APPLICATION }: AuditOptions,
  ): Movement {
    if (apiKeyId !== undefined && !isUuid(apiKeyId)) throw new InvalidKeyIdError();
    if (!isUuid(userId)) throw new UserNotFoundError({ id: userId });
    checkActor(by);
    return {
      ...change,
      userId: userId.toLowerCase(), // as PostgreSQL writes it
      transactionId,
      transactionType,
      apiKeyId: apiKeyId?.toLowerCase() ?? null,
      by,
    };
  }

  /** Captures or voids a hold. */
  private async end(
    holdId: string,
    change: Pick<Movement, 'kind' | 'credits'>,
    options: ChangeOptions,
  ): Promise<{ readonly hold: CreditHold; readonly outcome: Outcome }> {
    const { by = APPLICATION } = options;
    checkActor(by);
    const hold = await this.getHold(holdId, transactionOf(options));
    const { userId, transactionId, transactionType, apiKeyId } = hold;
    const movement = { ...change, hold: null, userId, transactionId, transactionType, apiKeyId, by };
    return { hold, outcome: await this.run(movement, options) };
  }

  private async run(movement: Movement, options: ChangeOptions): Promise<Outcome> {
    const { manager } = transactionOf(options);
    const outcome = await (manager ? this.entries.moveWithin(movement, manager) : this.entries.move(movement));
    if (outcome === 'unknown_user') throw new UserNotFoundError({ id: movement.userId });
    return outcome;
  }

  private publish({ id: entryId, ...entry }: CreditEntry, by: Actor, manager?: EntityManager): void {
    const { userId, credits, balanceAfter, transactionId, transactionType } = entry;
    this.events.publish(
      { type: 'credits.moved', userId, entryId, credits, balanceAfter, transactionId, transactionType, by },
      manager,
    );
  }
}

/** The transaction to join, if the manager has one. */
const transactionOf = ({ manager }: TransactionOptions): TransactionOptions =>
  manager?.queryRunner?.isTransactionActive ? { manager } : {};

/** Whether a hold has the fields that a request asks for. */
export const isHoldOf = (
  hold: CreditHold,
  movement: Pick<Movement, 'hold' | 'transactionType' | 'apiKeyId'>,
): boolean =>
  hold.amount === movement.hold?.amount &&
  hold.expiresAt.getTime() - hold.createdAt.getTime() === movement.hold.seconds * 1000 &&
  hold.transactionType === movement.transactionType &&
  hold.apiKeyId === movement.apiKeyId;

/** @throws what `checkTransaction` throws, and InvalidHoldDurationError */
export function checkHold(request: HoldTransaction): void {
  checkTransaction(request);
  const { expiresInSeconds = DEFAULT_HOLD_SECONDS } = request;
  if (!isHoldDuration(expiresInSeconds)) throw new InvalidHoldDurationError();
}

/** @throws InvalidAmountError, InvalidTransactionIdError, InvalidTransactionTypeError */
export function checkTransaction({
  amount,
  transactionId,
  transactionType = DEFAULT_TRANSACTION_TYPE,
}: Transaction): void {
  checkAmount(amount);
  if (!isTransactionId(transactionId)) throw new InvalidTransactionIdError();
  if (!isTransactionType(transactionType)) throw new InvalidTransactionTypeError();
}

export const isTransactionId = (text: unknown): text is string =>
  typeof text === 'string' &&
  text !== '' &&
  !text.includes('\0') &&
  text.isWellFormed() &&
  Array.from(text).length <= MAX_TRANSACTION_ID_LENGTH;

function checkAmount(amount: number): void {
  if (!Number.isSafeInteger(amount) || amount < 1) throw new InvalidAmountError();
}
