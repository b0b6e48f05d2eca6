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
import { checkTransaction, CreditsService, type Transaction } from '../credits/credits.service.js';
import { SerialQueue } from '../database/serial-queue.js';
import { EarlierCharges } from './earlier-charges.repository.js';

export interface VerificationRequest {
  /** What a caller sent as its API key, of any shape. */
  readonly key: string;
  /** The scopes that the key must have; none by default. */
  readonly scopes?: readonly string[] | undefined;
  /**
   * Credits to spend where everything else allows the call. The transaction id is unique per user:
   * one for each unit of work, never one that the caller chose.
   */
  readonly charge?: Transaction | undefined;
}

/** Why a key is not allowed to do something. The last three are told together with its identity. */
export type VerificationRefusal =
  'malformed' | SecretRefusal | 'insufficient_scope' | 'rate_limited' | 'insufficient_credits';

/** The key that was verified, and its owner. */
export interface VerifiedKey {
  readonly userId: string;
  readonly apiKeyId: string;
  readonly apiKeyName: string;
  readonly scopes: Scopes;
  readonly expiresAt: Date;
  /** The end of the overlap, where a rotation has replaced the secret. */
  readonly supersededUntil: Date | null;
  /** What the owner can spend after this call. */
  readonly creditsAvailable: number;
}

export interface Verification {
  /** The only field to decide by. */
  readonly allowed: boolean;
  /** Null where it is allowed. */
  readonly reason: VerificationRefusal | null;
  /** Null for a key that does not work. */
  readonly identity: VerifiedKey | null;
  /** Seconds to wait, where a rate limit is exceeded. */
  readonly retryAfter: number | null;
  /** The entry of the charge; of an earlier call too, where the key does not work any more. */
  readonly charge: CreditEntry | null;
  /** Whether an earlier call made the charge; null without one. */
  readonly replayed: boolean | null;
}

/** Answers for other services whether a key may do something, and charges its owner for it. */
@Injectable()
export class VerificationService {
  /** A repeat waits for the request that it repeats, and finds its entry. */
  private readonly charges = new SerialQueue();

  constructor(
    private readonly authentication: AuthenticationService,
    private readonly limits: RateLimits,
    private readonly credits: CreditsService,
    private readonly earlier: EarlierCharges,
    private readonly counters: Counters,
  ) {}

  /**
   * Verifies a key: its shape, its state, its rate limits, its scopes and then the credits of its
   * owner, each before the next one costs anything. Nothing is cached, so a revoked key is refused
   * by the next call. Nothing is charged unless everything else allows the call.
   *
   * Safe to repeat: the same charge again returns the same entry, takes no unit of a rate limit,
   * and tells of the charge also where the key has stopped working since.
   *
   * @throws InvalidRequiredScopesError, InvalidAmountError, InvalidTransactionIdError,
   *   InvalidTransactionTypeError, TransactionIdTakenError, and errors of an unavailable database
   */
  async verify(request: VerificationRequest, options: AuditOptions = {}): Promise<Verification> {
    const { key, charge } = request;
    const decide = () => this.decide(request, options);
    const verification = await (charge ? this.charges.run(`${key} ${charge.transactionId}`, decide) : decide());
    this.counters.verifications.inc({ reason: verification.reason ?? 'allowed' });
    return verification;
  }

  private async decide(
    { key, scopes = [], charge }: VerificationRequest,
    { by = APPLICATION }: AuditOptions,
  ): Promise<Verification> {
    if (!Array.isArray(scopes) || scopes.length > MAX_SCOPES || !scopes.every(isScope))
      throw new InvalidRequiredScopesError();
    if (charge) checkTransaction(charge);

    const [secret, earlier] = await Promise.all([
      this.authentication.find(key),
      charge ? this.earlier.find(key, charge) : null,
    ]);
    if (typeof secret === 'string') return { ...NOTHING, ...chargedBy(earlier?.entry), reason: secret };
    if (earlier && !earlier.entry) throw new TransactionIdTakenError();
    const identity = identityOf(secret);
    const known = { ...NOTHING, identity, ...chargedBy(earlier?.entry) };

    if (!earlier) {
      const { exceeded } = await this.limits.take(secret);
      if (exceeded) return { ...known, reason: 'rate_limited', retryAfter: exceeded.resetSeconds };
    }
    if (!scopes.every((scope) => mayUse(secret, scope))) return { ...known, reason: 'insufficient_scope' };
    if (!charge || earlier) return { ...known, allowed: true };
    try {
      const { entry, replayed } = await this.credits.spend(
        { ...charge, userId: secret.userId, apiKeyId: secret.keyId },
        { by },
      );
      const creditsAvailable = entry.balanceAfter; // later than the lookup: that found no such entry
      return { ...known, identity: { ...identity, creditsAvailable }, charge: entry, replayed, allowed: true };
    } catch (error) {
      if (error instanceof InsufficientCreditsError) return { ...known, reason: 'insufficient_credits' };
      throw error;
    }
  }
}

const NOTHING: Verification = {
  allowed: false,
  reason: null,
  identity: null,
  retryAfter: null,
  charge: null,
  replayed: null,
};

const chargedBy = (entry: CreditEntry | null | undefined): Partial<Verification> =>
  entry ? { charge: entry, replayed: true } : {};

const identityOf = (secret: LiveSecret): VerifiedKey => ({
  userId: secret.userId,
  apiKeyId: secret.keyId,
  apiKeyName: secret.keyName,
  scopes: secret.scopes,
  expiresAt: secret.expiresAt,
  supersededUntil: secret.supersededUntil,
  creditsAvailable: Number(secret.creditsBalance),
});
