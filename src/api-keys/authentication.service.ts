import { Injectable } from '@nestjs/common';
import { isApiKey } from '../common/api-key-format.js';
import { digestOf } from './api-key.secret.js';
import type { AuthenticationRefusal } from '../common/counters/counters.js';
import { Counters } from '../common/counters/counters.js';
import { InvalidApiKeyError, MissingApiKeyError } from './api-keys.errors.js';
import { type LiveSecret, SecretsRepository } from './secrets.repository.js';
import { KeyUsage } from './key-usage.service.js';

/** Tells who presents a key. */
@Injectable()
export class AuthenticationService {
  constructor(
    private readonly secrets: SecretsRepository,
    private readonly usage: KeyUsage,
    private readonly counters: Counters,
  ) {}

  /**
   * The checksum is verified before anything else happens, so an invented key costs no SQL.
   *
   * @throws MissingApiKeyError when there is none, InvalidApiKeyError when it does not work at this
   *   instant, IncompleteResultError when the database does not say whether it does
   */
  async authenticate(presented: string | undefined): Promise<LiveSecret> {
    if (presented === undefined) throw this.refusal('missing');
    if (!isApiKey(presented)) throw this.refusal('malformed');
    const secret = await this.secrets.find(digestOf(presented));
    if (typeof secret === 'string') throw this.refusal(secret);
    this.usage.record(secret.keyId);
    return secret;
  }

  /** Counts it by its reason, which the caller is not told. */
  private refusal(reason: AuthenticationRefusal): MissingApiKeyError | InvalidApiKeyError {
    this.counters.authenticationRefusals.inc({ reason });
    return reason === 'missing' ? new MissingApiKeyError() : new InvalidApiKeyError();
  }
}
