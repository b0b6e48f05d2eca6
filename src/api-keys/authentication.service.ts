import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { isApiKey } from '../common/api-key-format.js';
import { digestOf } from './api-key.secret.js';
import { InvalidApiKeyError, MissingApiKeyError } from './api-keys.errors.js';
import { ApiKeysRepository, type LiveSecret } from './api-keys.repository.js';
import { KeyUsage } from './key-usage.js';

/** Tells who presents a key. */
@Injectable()
export class AuthenticationService {
  constructor(
    private readonly apiKeys: ApiKeysRepository,
    private readonly usage: KeyUsage,
  ) {}

  /**
   * The checksum is verified before anything else happens, so a made-up key costs no SQL.
   *
   * @throws MissingApiKeyError when there is none, InvalidApiKeyError when it does not work at this instant
   */
  async authenticate(presented: string | undefined): Promise<LiveSecret> {
    if (presented === undefined) throw new MissingApiKeyError();
    if (!isApiKey(presented)) throw new InvalidApiKeyError();
    const digest = digestOf(presented);
    const secret = await this.apiKeys.findLive(digest);
    if (!secret || !timingSafeEqual(secret.digest, digest)) throw new InvalidApiKeyError();
    this.usage.record(secret.keyId);
    return secret;
  }
}
