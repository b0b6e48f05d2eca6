import { Injectable } from '@nestjs/common';
import { ApiKeyFormat } from '../common/api-key-format.js';
import { digestOf } from './api-key.secret.js';
import type { AuthenticationRefusal } from '../common/counters/counters.js';
import { Counters } from '../common/counters/counters.js';
import { InvalidApiKeyError, MissingApiKeyError } from './api-keys.errors.js';
import type { Principal } from './principal.js';
import { type LiveSecret, type SecretRefusal, SecretsRepository } from './secrets.repository.js';
import { KeyUsage } from './key-usage.service.js';

/** Authenticates API keys, on any transport. */
@Injectable()
export class AuthenticationService {
  constructor(
    private readonly secrets: SecretsRepository,
    private readonly usage: KeyUsage,
    private readonly counters: Counters,
    private readonly format: ApiKeyFormat,
  ) {}

  /**
   * Returns the caller whose key is valid at this instant. The checksum is verified first, so an
   * invented key costs no SQL. Nothing is cached: a revoked key is refused by the next call. Does
   * not count for a rate limit: see `RateLimits`.
   *
   * @throws MissingApiKeyError without a key, InvalidApiKeyError for a key that does not work,
   *   IncompleteResultError when the result of the database does not contain the answer, and errors
   *   of an unavailable database
   */
  async authenticate(presented: string | undefined): Promise<Principal> {
    if (presented === undefined) throw this.refusal('missing');
    const secret = await this.find(presented);
    if (typeof secret === 'string') throw this.refusal(secret);
    const { supersededAt: at, supersededUntil: until } = secret;
    return {
      type: 'API_KEY',
      userId: secret.userId,
      keyId: secret.keyId,
      keyName: secret.keyName,
      isAdmin: secret.isAdmin,
      scopes: secret.scopes,
      keyExpiresAt: secret.expiresAt,
      superseded: at && until && { at, until },
      keyRateLimitPerMinute: secret.keyRateLimitPerMinute,
      userRateLimitPerMinute: secret.userRateLimitPerMinute,
      requestId: null,
    };
  }

  /**
   * The key of a secret, or the reason why it does not work, which the presenter of the secret must
   * not be told. Otherwise like `authenticate`; a refusal is not counted.
   *
   * @throws IncompleteResultError, and errors of an unavailable database
   */
  async find(presented: string): Promise<LiveSecret | SecretRefusal | 'malformed'> {
    if (!this.format.accepts(presented)) return 'malformed';
    const secret = await this.secrets.find(digestOf(presented));
    if (typeof secret !== 'string') this.usage.record(secret.keyId);
    return secret;
  }

  /** Counts a refusal by its reason, which the caller is not told. */
  private refusal(reason: AuthenticationRefusal): MissingApiKeyError | InvalidApiKeyError {
    this.counters.authenticationRefusals.inc({ reason });
    return reason === 'missing' ? new MissingApiKeyError() : new InvalidApiKeyError();
  }
}
