import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type Actor, APPLICATION } from '../audit-trail/actor.js';
import type { ChangeOptions } from '../audit-trail/change-options.js';
import { violates } from '../common/errors/constraint.js';
import { Counters } from '../common/counters/counters.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { isDate } from '../common/validation/date.js';
import { isUuid } from '../common/validation/uuid.js';
import { retryingConflicts } from '../database/retry.js';
import { SerialQueue } from '../database/serial-queue.js';
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
import { type CreditFilter, CreditsRepository, type Difference, type Movement } from './credits.repository.js';
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

/** The entry of a transaction, and whether an earlier call created it. */
export interface Receipt {
  readonly entry: CreditEntry;
  readonly replayed: boolean;
}

export const MAX_TRANSACTION_ID_LENGTH = 255;

/**
 * The only way a balance moves. Every call is safe to repeat, however often and whatever became of
 * the first.
 */
@Injectable()
export class CreditsService {
  /** Serializes movements per user, so that a contended balance occupies one connection. */
  private readonly queue = new SerialQueue();

  constructor(
    private readonly entries: CreditsRepository,
    private readonly users: UsersService,
    private readonly events: UsersApiEvents,
    counters: Counters,
  ) {
    counters.watchQueue('move_credits', this.queue);
  }

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
    { by = APPLICATION, manager = this.entries.manager }: ChangeOptions = {},
  ): Promise<Receipt> {
    const { userId, amount, transactionId, transactionType = DEFAULT_TRANSACTION_TYPE, apiKeyId } = request;
    checkTransaction(request);
    if (apiKeyId !== undefined && !isUuid(apiKeyId)) throw new InvalidKeyIdError();
    if (!isUuid(userId)) throw new UserNotFoundError({ id: userId });
    const keyId = apiKeyId?.toLowerCase() ?? null;
    const movement = { userId, credits: sign * amount, transactionId, transactionType, apiKeyId: keyId, by };

    const entry = await this.attempt(movement, manager);
    if (entry) {
      this.publish(entry, by, manager);
      return { entry, replayed: false };
    }
    // Look for a replay first: a repeated request must succeed even if the balance has changed
    // since.
    const earlier = await this.entries.findByTransactionId(userId, transactionId, manager);
    if (earlier) return replay(earlier, movement);
    await this.users.getById(userId, { manager });
    throw sign < 0 ? new InsufficientCreditsError() : new BalanceLimitError();
  }

  private publish({ id: entryId, ...entry }: CreditEntry, by: Actor, manager: EntityManager): void {
    const { userId, credits, balanceAfter, transactionId, transactionType } = entry;
    this.events.publish(
      { type: 'credits.moved', userId, entryId, credits, balanceAfter, transactionId, transactionType, by },
      manager,
    );
  }

  /** @returns null when the movement is refused or its transaction id is taken */
  private async attempt(movement: Movement, manager: EntityManager): Promise<CreditEntry | null> {
    const joined = manager.queryRunner?.isTransactionActive;
    try {
      // A failed statement would end the caller's transaction; behind a savepoint it does not.
      return await (joined
        ? manager.transaction((inner) => this.entries.move(movement, inner))
        : this.queue.run(movement.userId.toLowerCase(), () =>
            retryingConflicts(() => this.entries.move(movement, manager)),
          ));
    } catch (error) {
      if (violates(error, 'uq_credit_entries_user_id_transaction_id')) return null;
      throw error;
    }
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

function replay(entry: CreditEntry, { credits, transactionType, apiKeyId }: Movement): Receipt {
  const isSame = entry.credits === credits && entry.transactionType === transactionType && entry.apiKeyId === apiKeyId;
  if (!isSame) throw new TransactionIdTakenError();
  return { entry, replayed: true };
}

const isTransactionId = (text: unknown): text is string =>
  typeof text === 'string' &&
  text !== '' &&
  !text.includes('\0') &&
  text.isWellFormed() &&
  Array.from(text).length <= MAX_TRANSACTION_ID_LENGTH;
