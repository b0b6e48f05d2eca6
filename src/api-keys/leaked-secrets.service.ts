import { Injectable } from '@nestjs/common';
import { APPLICATION } from '../audit-trail/actor.js';
import type { AuditOptions } from '../audit-trail/change-options.js';
import { ApiKeyFormat, visiblePartOf } from '../common/api-key-format.js';
import { digestOf } from './api-key.secret.js';
import { LeakedSecretsRepository } from './leaked-secrets.repository.js';

/** What became of a leaked secret. */
export interface LeakedSecret {
  /** `already_ended`: it did not work any more before the call. */
  readonly outcome: 'revoked' | 'already_ended' | 'unknown';
  /** The visible part of the secret; null for a text that is no secret. */
  readonly prefix: string | null;
  /** The owner and the name of its key, where that is known. */
  readonly userId: string | null;
  readonly name: string | null;
}

/**
 * Ends leaked keys. For administrators and operators: the result tells more about a secret than its
 * presenter may learn.
 */
@Injectable()
export class LeakedSecretsService {
  constructor(
    private readonly secrets: LeakedSecretsRepository,
    private readonly format: ApiKeyFormat,
  ) {}

  /**
   * Revokes the keys that leaked secrets belong to, of any users, in one statement. Within the
   * overlap of a rotation, the old secret revokes its whole key; afterwards it leaves the key
   * alone. A text of another shape, or with a prefix that is not listed, costs no SQL. Safe to
   * repeat.
   *
   * @returns an outcome for each text, in their order
   */
  async revoke(leaked: readonly string[], { by = APPLICATION }: AuditOptions = {}): Promise<LeakedSecret[]> {
    const digests = leaked.filter((text) => this.format.accepts(text)).map(digestOf);
    const found = digests.length > 0 ? await this.secrets.revoke(digests, by) : null;
    return leaked.map((text) => {
      if (!this.format.accepts(text)) return { outcome: 'unknown', prefix: null, userId: null, name: null };
      const prefix = visiblePartOf(text);
      const known = found?.get(digestOf(text).toString('hex'));
      if (!known) return { outcome: 'unknown', prefix, userId: null, name: null };
      const { userId, name, isRevoked } = known;
      return { outcome: isRevoked ? 'revoked' : 'already_ended', prefix, userId, name };
    });
  }
}
