import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { type Actor, APPLICATION } from '../audit-trail/actor.js';
import type { AuditOptions, ChangeOptions } from '../audit-trail/change-options.js';
import { ApiKeyFormat, visiblePartOf } from '../common/api-key-format.js';
import { violates } from '../common/errors/constraint.js';
import type { DomainError } from '../common/errors/domain.error.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { isInstant } from '../common/validation/date.js';
import { isUuid } from '../common/validation/uuid.js';
import { InjectOptions, type UsersApiOptions } from '../config/users-api.options.js';
import { IncompleteResultError } from '../database/statement.js';
import { isApiKeyName, isOverlap } from './api-key-rules.js';
import { digestOf } from './api-key.secret.js';
import { type ApiKeyFilter, ApiKeyListsRepository } from './api-key-lists.repository.js';
import {
  ApiKeyExpiryError,
  ApiKeyNameTakenError,
  ApiKeyNotActiveError,
  ApiKeyNotFoundError,
  ApiKeyOwnerNotFoundError,
  ApiKeySecretTakenError,
  HigherRateLimitError,
  InvalidApiKeyExpiryError,
  InvalidApiKeyNameError,
  InvalidInstantError,
  InvalidOverlapError,
  InvalidRateLimitError,
  MalformedApiKeyError,
  RateLimitReservedError,
  StrongerKeyError,
  TooManyApiKeysError,
} from './api-keys.errors.js';
import { type ApiKeyChanges, ApiKeysRepository, type NewApiKey } from './api-keys.repository.js';
import {
  inheritedRateLimit,
  inheritedScopes,
  isRateLimitWithin,
  isWithin,
  maySetRateLimit,
  refuseSuperseded,
} from './key-limits.js';
import type { KeyView } from './key-view.js';
import { isRateLimit } from './rate-limit-rules.js';
import { checkedScopes, type Scopes } from './scopes.js';

export interface ApiKeyRequest {
  readonly userId: string;
  /**
   * 1 to 255 lower-case letters, digits and hyphens; unique among the user's keys, including
   * expired and revoked ones.
   */
  readonly name: string;
  /** In the future, by the database's clock. */
  readonly expiresAt: Date;
  /** The scopes of the key; by default those of the actor's key, or null for everything. */
  readonly scopes?: Scopes | undefined;
  /**
   * Requests a minute: 0 for no budget of its own; null for the default, or for none if the user
   * has a budget. By default that of the actor's key, or null.
   */
  readonly rateLimitPerMinute?: number | null | undefined;
  /** A secret that was generated elsewhere, for unattended installs; by default a new one. */
  readonly secret?: string | undefined;
}

export interface RotationRequest {
  readonly expiresAt: Date;
  /** Seconds for which the old secret continues to work: an integer from 0 (none) to a week. */
  readonly overlapSeconds: number;
}

/** A key together with its secret, which is not stored and cannot be read again. */
export interface KeyWithSecret {
  readonly key: KeyView;
  readonly secret: string;
}

/**
 * The operations on the keys of a user. A key of another user is treated as one that does not
 * exist.
 */
@Injectable()
export class ApiKeysService {
  constructor(
    private readonly apiKeys: ApiKeysRepository,
    private readonly lists: ApiKeyListsRepository,
    @InjectOptions() private readonly options: UsersApiOptions,
    private readonly format: ApiKeyFormat,
  ) {}

  /**
   * Creates a key for a user. Not safe to repeat: a second call with the same name is refused.
   *
   * @throws InvalidApiKeyNameError, InvalidApiKeyExpiryError, MalformedApiKeyError,
   *   InvalidScopesError, MissingScopesError, ApiKeyExpiryError, ApiKeyOwnerNotFoundError,
   *   SupersededSecretError, InvalidRateLimitError, StrongerKeyError, RateLimitReservedError,
   *   HigherRateLimitError, ApiKeyNameTakenError, ApiKeySecretTakenError, TooManyApiKeysError
   */
  async create(request: ApiKeyRequest, { by = APPLICATION, manager }: ChangeOptions = {}): Promise<KeyWithSecret> {
    const { userId, name, expiresAt, secret = this.format.generate() } = request;
    refuseBadName(name);
    refuseBadExpiry(expiresAt);
    const scopes = request.scopes === undefined ? undefined : checkedScopes(request.scopes);
    refuseBadRateLimit(request.rateLimitPerMinute);
    if (!this.format.accepts(secret)) throw new MalformedApiKeyError();
    if (!isUuid(userId)) throw new ApiKeyOwnerNotFoundError(userId);
    const row = {
      userId,
      name,
      expiresAt,
      scopes: scopes === undefined ? inheritedScopes(by, userId) : scopes,
      rateLimitPerMinute:
        request.rateLimitPerMinute === undefined ? inheritedRateLimit(by) : request.rateLimitPerMinute,
      prefix: visiblePartOf(secret),
      digest: digestOf(secret),
    };
    refuseSuperseded(by);
    const refusal = this.creationRefusal(request, row, by);
    if (refusal) throw await this.afterOtherChecks(refusal, row, manager);
    // A constraint compares the current secrets only. One that was generated here is new.
    if (request.secret !== undefined && (await this.apiKeys.isSuperseded(row.digest, manager)))
      throw new ApiKeySecretTakenError();
    const key = await this.apiKeys.insert(row, by, manager).catch((error: unknown) => {
      if (violates(error, 'uq_api_keys_user_id_name')) throw new ApiKeyNameTakenError(name);
      if (violates(error, 'uq_api_keys_digest')) throw new ApiKeySecretTakenError();
      if (violates(error, 'ck_api_keys_active_limit')) throw new TooManyApiKeysError();
      if (violates(error, 'fk_api_keys_user_id')) throw new ApiKeyOwnerNotFoundError(userId);
      throw error;
    });
    if (key) return { key, secret };
    throw (await this.apiKeys.hasPassed(expiresAt, manager)) ? new ApiKeyExpiryError() : new IncompleteResultError();
  }

  /** @throws ApiKeyNotFoundError */
  async getByName(userId: string, name: string): Promise<KeyView> {
    return found(canExist(userId, name) ? await this.apiKeys.findByName(userId, name) : null);
  }

  /** @throws ApiKeyNotFoundError */
  async getById(userId: string, id: string): Promise<KeyView> {
    return found(isUuid(userId) && isUuid(id) ? await this.apiKeys.findById(userId, id) : null);
  }

  /**
   * The user's keys, the newest first: all of them, including expired and revoked ones, or those
   * that match the filter.
   *
   * @throws InvalidInstantError when `expiresBefore` is not an instant of the years 0 to 9999;
   *   ApiKeyOwnerNotFoundError
   */
  async list(userId: string, window: PageWindow, filter: ApiKeyFilter = {}): Promise<Page<KeyView>> {
    if (filter.expiresBefore && !isInstant(filter.expiresBefore)) throw new InvalidInstantError('expires_before');
    const page = isUuid(userId) ? await this.lists.findPage(userId, filter, window) : null;
    if (page && (page.total > 0 || (await this.apiKeys.ownerExists(userId)))) return page;
    throw new ApiKeyOwnerNotFoundError(userId);
  }

  /**
   * The ACTIVE keys of all users that expire within 30 days and were used within the last 30 days.
   * Reads the whole table without a lock, which takes seconds for millions of keys.
   */
  countExpiring(): Promise<number> {
    return this.lists.countExpiring();
  }

  /**
   * Renames a key, or changes its scopes, its rate limit or, if it is active, its expiry. Safe to
   * repeat except for a new name: the key no longer has its old name.
   *
   * @throws ApiKeyNotFoundError, InvalidApiKeyNameError, InvalidApiKeyExpiryError,
   *   InvalidScopesError, InvalidRateLimitError, ApiKeyExpiryError, SupersededSecretError,
   *   StrongerKeyError, RateLimitReservedError, ApiKeyNameTakenError, ApiKeyNotActiveError
   */
  async update(
    userId: string,
    name: string,
    changes: ApiKeyChanges,
    { by = APPLICATION }: AuditOptions = {},
  ): Promise<KeyView> {
    const { name: newName, expiresAt } = changes;
    if (newName !== undefined) refuseBadName(newName);
    if (expiresAt !== undefined) refuseBadExpiry(expiresAt);
    const scopes = changes.scopes === undefined ? undefined : checkedScopes(changes.scopes);
    const { rateLimitPerMinute } = changes;
    refuseBadRateLimit(rateLimitPerMinute);
    if (!canExist(userId, name)) throw new ApiKeyNotFoundError();
    refuseSuperseded(by);
    const checked = { name: newName, expiresAt, scopes, rateLimitPerMinute };
    if (rateLimitPerMinute !== undefined && !maySetRateLimit(by)) return this.explainRefusal(userId, name, checked, by);
    const key = await this.apiKeys.patch(userId, name, checked, by).catch((error: unknown) => {
      if (newName !== undefined && violates(error, 'uq_api_keys_user_id_name')) throw new ApiKeyNameTakenError(newName);
      throw error;
    });
    return key ?? this.explainRefusal(userId, name, checked, by);
  }

  /**
   * Revokes a key for good: it is refused from the next request on. Safe to repeat.
   *
   * @throws ApiKeyNotFoundError
   */
  async revoke(userId: string, name: string, { by = APPLICATION }: AuditOptions = {}): Promise<KeyView> {
    const key = canExist(userId, name) ? await this.apiKeys.revoke(userId, 'name', name, by) : null;
    if (key) return key;
    await this.getByName(userId, name);
    throw new IncompleteResultError();
  }

  /** Like `revoke`, for the key with this id, even if it was renamed meanwhile. */
  async revokeById(userId: string, id: string, { by = APPLICATION }: AuditOptions = {}): Promise<KeyView> {
    const key = isUuid(userId) && isUuid(id) ? await this.apiKeys.revoke(userId, 'id', id, by) : null;
    if (key) return key;
    await this.getById(userId, id);
    throw new IncompleteResultError();
  }

  /**
   * Gives an active key a new secret. Not safe to repeat: each call creates another secret.
   *
   * @throws ApiKeyNotFoundError, InvalidApiKeyExpiryError, InvalidOverlapError, ApiKeyExpiryError,
   *   SupersededSecretError, StrongerKeyError, ApiKeyNotActiveError
   */
  async rotate(
    userId: string,
    name: string,
    { expiresAt, overlapSeconds }: RotationRequest,
    { by = APPLICATION }: AuditOptions = {},
  ): Promise<KeyWithSecret> {
    refuseBadExpiry(expiresAt);
    if (!isOverlap(overlapSeconds)) throw new InvalidOverlapError();
    if (!canExist(userId, name)) throw new ApiKeyNotFoundError();
    refuseSuperseded(by);
    const secret = this.format.generate();
    const rotation = { expiresAt, overlapSeconds, prefix: visiblePartOf(secret), digest: digestOf(secret) };
    const key = await this.apiKeys.rotate(userId, name, rotation, by);
    return { key: key ?? (await this.explainRefusal(userId, name, { expiresAt }, by)), secret };
  }

  /** Why the creator's key may not create a key; null if it may. */
  private creationRefusal({ rateLimitPerMinute: asked }: ApiKeyRequest, key: NewApiKey, by: Actor): DomainError | null {
    if (!isWithin(by, key.scopes, key.expiresAt)) return new StrongerKeyError();
    if (asked !== undefined && !maySetRateLimit(by)) return new RateLimitReservedError();
    const { rateLimitPerMinute: defaultLimit = 0 } = this.options;
    return isRateLimitWithin(by, key.rateLimitPerMinute, defaultLimit) ? null : new HigherRateLimitError();
  }

  /** The error for a refused creation: other failures take precedence over the refusal. */
  private async afterOtherChecks(
    refusal: DomainError,
    { userId, expiresAt }: NewApiKey,
    manager?: EntityManager,
  ): Promise<DomainError> {
    if (await this.apiKeys.hasPassed(expiresAt, manager)) return new ApiKeyExpiryError();
    return (await this.apiKeys.ownerExists(userId, manager)) ? refusal : new ApiKeyOwnerNotFoundError(userId);
  }

  /**
   * Finds the reason after the write that changed nothing: a row that was read before it may have
   * changed since. Errors of the request take precedence over errors of the key.
   */
  private async explainRefusal(userId: string, name: string, changes: ApiKeyChanges, by: Actor): Promise<never> {
    const { expiresAt } = changes;
    if (expiresAt && (await this.apiKeys.hasPassed(expiresAt))) throw new ApiKeyExpiryError();
    const { status, scopes, expiresAt: expiry } = await this.getByName(userId, name);
    const scopesBeforeAndAfter = [scopes, changes.scopes === undefined ? scopes : changes.scopes];
    if (!scopesBeforeAndAfter.every((each) => isWithin(by, each, expiresAt ?? expiry))) throw new StrongerKeyError();
    if (changes.rateLimitPerMinute !== undefined && !maySetRateLimit(by)) throw new RateLimitReservedError();
    throw status === 'ACTIVE' ? new IncompleteResultError() : new ApiKeyNotActiveError(status);
  }
}

const canExist = (userId: string, name: string): boolean => isUuid(userId) && isApiKeyName(name);

function refuseBadName(name: string): void {
  if (!isApiKeyName(name)) throw new InvalidApiKeyNameError();
}

function refuseBadExpiry(expiresAt: Date): void {
  if (!isInstant(expiresAt)) throw new InvalidApiKeyExpiryError();
}

function refuseBadRateLimit(rateLimit: number | null | undefined): void {
  if (rateLimit !== undefined && !isRateLimit(rateLimit, 'key')) throw new InvalidRateLimitError('key');
}

function found(key: KeyView | null): KeyView {
  if (!key) throw new ApiKeyNotFoundError();
  return key;
}
