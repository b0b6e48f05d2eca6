import { Injectable } from '@nestjs/common';
import { AuthenticationService } from '../api-keys/authentication.service.js';
import { InvalidRequiredScopesError } from '../api-keys/api-keys.errors.js';
import { RateLimits } from '../api-keys/rate-limits.service.js';
import { isScope, MAX_SCOPES, mayUse, type Scopes } from '../api-keys/scopes.js';
import type { LiveSecret, SecretRefusal } from '../api-keys/secrets.repository.js';
import { APPLICATION } from '../audit-trail/actor.js';
import type { AuditOptions } from '../audit-trail/change-options.js';
import { Counters } from '../common/counters/counters.js';
import type { CreditEntry } from '../credits/credit-entry.entity.js';
import { InsufficientCreditsError, TransactionIdTakenError } from '../credits/credits.errors.js';
import {
  checkHold,
  checkTransaction,
  CreditsService,
  type HoldTransaction,
  type Transaction,
} from '../credits/credits.service.js';
import type { CreditHold } from '../credits/holds/credit-hold.entity.js';
import { SerialQueue } from '../database/serial-queue.js';
import { type EarlierTransaction, EarlierTransactions } from './earlier-transactions.repository.js';
import { ChargeAndHoldError } from './verification.errors.js';

export interface VerificationRequest {
  /** The text that a caller sent as its API key, in any format. */
  readonly key: string;
  /** The scopes that the key must have; none by default. */
  readonly scopes?: readonly string[] | undefined;
  /**
   * Credits to spend if everything else allows the call. The transaction id is unique per user: use
   * one for each unit of work, never one that the caller chose.
   */
  readonly charge?: Transaction | undefined;
  /**
   * Credits to hold, instead of a charge, for work whose price is known only afterwards; see
   * `CreditsService.capture` and `release`. The same rule applies to its transaction id.
   */
  readonly hold?: HoldTransaction | undefined;
}

/**
 * Why a key is not allowed to do something. The last three are returned together with the identity
 * of the key.
 */
export type VerificationRefusal =
  'malformed' | SecretRefusal | 'insufficient_scope' | 'rate_limited' | 'insufficient_credits';

/** The key that was verified, and its owner. */
export interface VerifiedKey {
  readonly userId: string;
  readonly apiKeyId: string;
  readonly apiKeyName: string;
  readonly scopes: Scopes;
  readonly expiresAt: Date;
  /** The end of the overlap, if a rotation has replaced the secret. */
  readonly supersededUntil: Date | null;
  /** The credits that the owner can spend after this call: the balance minus held credits. */
  readonly creditsAvailable: number;
}

export interface Verification {
  /** The only field to decide by. */
  readonly allowed: boolean;
  /** Null if the call is allowed. */
  readonly reason: VerificationRefusal | null;
  /** Null for a key that does not work. */
  readonly identity: VerifiedKey | null;
  /** Seconds to wait if a rate limit is exceeded. */
  readonly retryAfter: number | null;
  /** The entry of the charge, even that of an earlier call if the key no longer works. */
  readonly charge: CreditEntry | null;
  /** The open hold, even that of an earlier call if the key no longer works. */
  readonly hold: CreditHold | null;
  /** Whether an earlier call made the charge or the hold; null without either. */
  readonly replayed: boolean | null;
}

/**
 * Decides for other services whether a key is allowed to make a call, and charges its owner or
 * holds credits.
 */
@Injectable()
export class VerificationService {
  /** A repeated request waits for the first one, and then finds its entry or its hold. */
  private readonly transactions = new SerialQueue();

  constructor(
    private readonly authentication: AuthenticationService,
    private readonly limits: RateLimits,
    private readonly credits: CreditsService,
    private readonly earlier: EarlierTransactions,
    private readonly counters: Counters,
  ) {
    counters.watchQueue('verify_transactions', this.transactions);
  }

  /**
   * Verifies a key: its format, its state, its rate limits, its scopes and then the credits of its
   * owner. Each check must pass before the next one is made. Nothing is cached, so a revoked key is
   * refused by the next call. Nothing is charged or held unless everything else allows the call.
   *
   * Safe to repeat: the same charge again returns the same entry, and the same hold again returns
   * the hold while it is open. A repeated call takes no unit of a rate limit, and returns the
   * charge or the hold even if the key has stopped working since.
   *
   * @throws InvalidRequiredScopesError, ChargeAndHoldError, InvalidAmountError,
   *   InvalidTransactionIdError, InvalidTransactionTypeError, InvalidHoldDurationError,
   *   TransactionIdTakenError (also for a hold that has ended), and errors of an unavailable
   *   database
   */
  async verify(request: VerificationRequest, options: AuditOptions = {}): Promise<Verification> {
    const { key, charge, hold } = request;
    const transaction = charge ?? hold;
    const decide = () => this.decide(request, options);
    const verification = await (transaction
      ? this.transactions.run(`${key} ${transaction.transactionId}`, decide)
      : decide());
    this.counters.verifications.inc({ reason: verification.reason ?? 'allowed' });
    return verification;
  }

  private async decide(
    { key, scopes = [], charge, hold }: VerificationRequest,
    options: AuditOptions,
  ): Promise<Verification> {
    if (!Array.isArray(scopes) || scopes.length > MAX_SCOPES || !scopes.every(isScope))
      throw new InvalidRequiredScopesError();
    if (charge && hold) throw new ChargeAndHoldError();
    if (charge) checkTransaction(charge);
    if (hold) checkHold(hold);

    const [secret, earlier] = await Promise.all([
      this.authentication.find(key),
      (charge && this.earlier.findCharge(key, charge)) ?? (hold && this.earlier.findHold(key, hold)) ?? null,
    ]);
    const repeated = repeatOf(earlier);
    if (typeof secret === 'string') return { ...NOTHING, ...repeated, reason: secret };
    if (earlier && !repeated) throw new TransactionIdTakenError();
    const identity = identityOf(secret);
    const known = { ...NOTHING, identity, ...repeated };

    if (!earlier) {
      const { exceeded } = await this.limits.take(secret);
      if (exceeded) return { ...known, reason: 'rate_limited', retryAfter: exceeded.resetSeconds };
    }
    if (!scopes.every((scope) => mayUse(secret, scope))) return { ...known, reason: 'insufficient_scope' };
    if (earlier) return { ...known, allowed: true };
    try {
      const { creditsAvailable = identity.creditsAvailable, ...made } = await this.make(
        { charge, hold },
        secret,
        options,
      );
      return { ...known, ...made, identity: { ...identity, creditsAvailable }, allowed: true };
    } catch (error) {
      if (error instanceof InsufficientCreditsError) return { ...known, reason: 'insufficient_credits' };
      throw error;
    }
  }

  /** Charges the owner of the key, or holds credits, if the request asks for it. */
  private async make(
    { charge, hold }: Pick<VerificationRequest, 'charge' | 'hold'>,
    { userId, keyId: apiKeyId }: LiveSecret,
    { by = APPLICATION }: AuditOptions,
  ): Promise<Partial<Verification> & { readonly creditsAvailable?: number }> {
    if (hold) return this.credits.hold({ ...hold, userId, apiKeyId }, { by });
    if (!charge) return {};
    const { entry, ...made } = await this.credits.spend({ ...charge, userId, apiKeyId }, { by });
    return { ...made, charge: entry };
  }
}

const NOTHING: Verification = {
  allowed: false,
  reason: null,
  identity: null,
  retryAfter: null,
  charge: null,
  hold: null,
  replayed: null,
};

/** Undefined if nothing was made before, or something other than what is requested. */
const repeatOf = (earlier: EarlierTransaction | null): Partial<Verification> | undefined =>
  earlier?.charge || earlier?.hold ? { ...earlier, replayed: true } : undefined;

const identityOf = (secret: LiveSecret): VerifiedKey => ({
  userId: secret.userId,
  apiKeyId: secret.keyId,
  apiKeyName: secret.keyName,
  scopes: secret.scopes,
  expiresAt: secret.expiresAt,
  supersededUntil: secret.supersededUntil,
  creditsAvailable: Number(secret.creditsAvailable),
});
