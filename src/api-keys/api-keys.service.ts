import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { generateApiKey, isApiKey } from '../common/api-key-format.js';
import { violates } from '../common/errors/constraint.js';
import { digestOf, prefixOf } from './api-key.secret.js';
import {
  ApiKeyExpiryError,
  ApiKeyNameTakenError,
  InvalidApiKeyError,
  InvalidApiKeyNameError,
  MalformedApiKeyError,
  MissingApiKeyError,
} from './api-keys.errors.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import type { Principal } from './principal.js';

export interface ApiKeyRequest {
  readonly userId: string;
  /** 1 to 255 lower-case letters, digits and hyphens; unique among the user's keys, whatever became of them. */
  readonly name: string;
  readonly expiresAt: Date;
  /** A secret that was made elsewhere, for unattended installs; by default a new one. */
  readonly secret?: string | undefined;
}

const NAME = /^[a-z0-9-]{1,255}$/;

@Injectable()
export class ApiKeysService {
  constructor(private readonly apiKeys: ApiKeysRepository) {}

  /**
   * Tells who presents a key. The checksum is verified before anything else happens, so a made-up key costs no SQL.
   *
   * @throws MissingApiKeyError when there is none, InvalidApiKeyError when it does not work at this instant
   */
  async authenticate(presented: string | undefined): Promise<Principal> {
    if (presented === undefined) throw new MissingApiKeyError();
    if (!isApiKey(presented)) throw new InvalidApiKeyError();
    const digest = digestOf(presented);
    const key = await this.apiKeys.findLive(digest);
    if (!key || !timingSafeEqual(key.digest, digest)) throw new InvalidApiKeyError();
    return { userId: key.userId, keyId: key.keyId, isAdmin: key.isAdmin };
  }

  /**
   * Makes a key for a user who exists. Not safe to repeat: a second call with the same name is refused.
   *
   * @param manager joins the caller's transaction
   * @returns the secret, which is stored nowhere and can never be had again
   * @throws InvalidApiKeyNameError, MalformedApiKeyError, ApiKeyExpiryError, ApiKeyNameTakenError
   */
  async create(
    { userId, name, expiresAt, secret = generateApiKey() }: ApiKeyRequest,
    manager?: EntityManager,
  ): Promise<string> {
    if (!NAME.test(name) || name === 'current') throw new InvalidApiKeyNameError();
    if (!isApiKey(secret)) throw new MalformedApiKeyError();
    try {
      const key = { userId, name, expiresAt, prefix: prefixOf(secret), digest: digestOf(secret) };
      if (!(await this.apiKeys.insert(key, manager))) throw new ApiKeyExpiryError();
    } catch (error) {
      if (violates(error, 'uq_api_keys_user_id_name')) throw new ApiKeyNameTakenError(name);
      throw error;
    }
    return secret;
  }
}
