import { Injectable } from '@nestjs/common';
import { APPLICATION } from '../audit-trail/actor.js';
import type { AuditOptions } from '../audit-trail/change-options.js';
import { ApiKeyFormat, visiblePartOf } from '../common/api-key-format.js';
import { digestOf } from './api-key.secret.js';
import { LeakedSecretsRepository } from './leaked-secrets.repository.js';

/** The outcome for a leaked secret. */
export interface LeakedSecret {
  /** `already_ended`: the secret no longer worked before the call. */
  readonly outcome: 'revoked' | 'already_ended' | 'unknown';
  /** The visible part of the secret; null for a text that is not a secret. */
  readonly prefix: string | null;
  /** The owner and the name of the key, if the key is known. */
  readonly userId: string | null;
  readonly name: string | null;
}

/**
 * Revokes leaked keys. For administrators and operators: the result reveals more about a secret
 * than its presenter may know.
 */
@Injectable()
export class LeakedSecretsService {
  constructor(
    private readonly secrets: LeakedSecretsRepository,
    private readonly format: ApiKeyFormat,
  ) {}

  /**
   * Revokes the keys that leaked secrets belong to, of any users, in one statement. Within the
   * overlap of a rotation, the old secret revokes its whole key; afterwards the key is not changed.
   * A text in another format, or with a prefix that is not listed, costs no SQL. Safe to repeat.
   *
   * @returns an outcome for each text, in the order of the texts
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
