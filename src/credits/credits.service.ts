import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type Actor, APPLICATION, checkActor } from '../audit-trail/actor.js';
import type { ChangeOptions } from '../audit-trail/change-options.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { isDate } from '../common/validation/date.js';
import { isUuid } from '../common/validation/uuid.js';
import { UsersApiEvents } from '../events/users-api-events.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { UsersService } from '../users/users.service.js';
import type { CreditEntry } from './credit-entry.entity.js';
import {
  BalanceLimitError,
  InsufficientCreditsError,
  InvalidAmountError,
  InvalidKeyIdError,
  InvalidPeriodError,
  InvalidTransactionIdError,
  InvalidTransactionTypeError,
  TransactionIdTakenError,
} from './credits.errors.js';
import { type CreditFilter, CreditsRepository, type Difference } from './credits.repository.js';
import { isSame } from './credits.statements.js';
import type { Receipt } from './movement-batcher.js';
import { DEFAULT_TRANSACTION_TYPE, isTransactionType } from './transaction-type.js';

/** A movement of credits, of a user that is known otherwise. */
export interface Transaction {
  /** Credits; an integer from 1. */
  readonly amount: number;
  /** 1 to 255 characters, unique per user: the same request with it again moves nothing. */
  readonly transactionId: string;
  /**
   * 1 to 32 capital letters, digits and underscores, the first one a letter; `MANUAL_ADJUSTMENT` by
   * default.
   */
  readonly transactionType?: string | undefined;
}

export interface CreditRequest extends Transaction {
  readonly userId: string;
  /** The user's key for which the credits are spent, if they are spent for one. */
  readonly apiKeyId?: string | undefined;
}

export type { Receipt };

export const MAX_TRANSACTION_ID_LENGTH = 255;

/**
 * The only way a balance moves. Every call is safe to repeat, however often and whatever became of
 * the first.
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
   * Takes credits away. In the caller's transaction, a job and its price commit together or not at
   * all; an error leaves that transaction usable.
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
   * @throws InvalidPeriodError, InvalidKeyIdError, UserNotFoundError, InvalidPageWindowError,
   *   PageOutOfReachError
   */
  async history(userId: string, filter: CreditFilter, window: PageWindow): Promise<Page<CreditEntry>> {
    const { startDate, endDate, apiKeyId } = filter;
    if (startDate !== undefined && !isDate(startDate)) throw new InvalidPeriodError();
    if (endDate !== undefined && !(isDate(endDate) && endDate >= (startDate ?? endDate)))
      throw new InvalidPeriodError();
    if (apiKeyId !== undefined && !isUuid(apiKeyId)) throw new InvalidKeyIdError();
    if (!isUuid(userId)) throw new UserNotFoundError({ id: userId });
    const page = await this.entries.findPage(userId, filter, window);
    if (page.total === 0) await this.users.getById(userId); // tells "no entries" from "no such user"
    return page;
  }

  /**
   * Compares every balance with the sum of its entries: the differences must be none. Takes no
   * locks, and seconds for a million entries.
   *
   * @param onProgress called with the share that is done, from 0 to 1
   */
  reconcile(onProgress: (share: number) => void = () => undefined): Promise<Difference[]> {
    return this.entries.findDifferences(onProgress);
  }

  private async move(
    request: CreditRequest,
    sign: 1 | -1,
    { by = APPLICATION, manager }: ChangeOptions = {},
  ): Promise<Receipt> {
    const { amount, transactionId, transactionType = DEFAULT_TRANSACTION_TYPE, apiKeyId } = request;
    checkTransaction(request);
    if (apiKeyId !== undefined && !isUuid(apiKeyId)) throw new InvalidKeyIdError();
    if (!isUuid(request.userId)) throw new UserNotFoundError({ id: request.userId });
    checkActor(by);
    const movement = {
      userId: request.userId.toLowerCase(), // as the database spells it
      credits: sign * amount,
      transactionId,
      transactionType,
      apiKeyId: apiKeyId?.toLowerCase() ?? null,
      by,
    };

    const outcome = await (manager?.queryRunner?.isTransactionActive
      ? this.entries.moveWithin(movement, manager)
      : this.entries.move(movement));
    if (outcome === 'unknown_user') throw new UserNotFoundError({ id: request.userId });
    if (outcome === 'refused') throw sign < 0 ? new InsufficientCreditsError() : new BalanceLimitError();
    if (!isSame(outcome.entry, movement)) throw new TransactionIdTakenError();
    if (!outcome.replayed) this.publish(outcome.entry, by, manager);
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

/** @throws InvalidAmountError, InvalidTransactionIdError, InvalidTransactionTypeError */
export function checkTransaction({
  amount,
  transactionId,
  transactionType = DEFAULT_TRANSACTION_TYPE,
}: Transaction): void {
  if (!Number.isSafeInteger(amount) || amount < 1) throw new InvalidAmountError();
  if (!isTransactionId(transactionId)) throw new InvalidTransactionIdError();
  if (!isTransactionType(transactionType)) throw new InvalidTransactionTypeError();
}

export const isTransactionId = (text: unknown): text is string =>
  typeof text === 'string' &&
  text !== '' &&
  !text.includes('\0') &&
  text.isWellFormed() &&
  Array.from(text).length <= MAX_TRANSACTION_ID_LENGTH;
