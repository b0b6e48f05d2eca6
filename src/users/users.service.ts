import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { InsufficientScopeError, InvalidRateLimitError } from '../api-keys/api-keys.errors.js';
import { isRateLimit } from '../api-keys/rate-limit-rules.js';
import { isVisiblePart } from '../common/api-key-format.js';
import { violates } from '../common/errors/constraint.js';
import { type Actor, APPLICATION } from '../audit-trail/actor.js';
import type { AuditOptions, ChangeOptions, TransactionOptions } from '../audit-trail/change-options.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { isInstant } from '../common/validation/date.js';
import { isAscii, isEmailAddress } from '../common/validation/email.js';
import { isVersion } from '../common/validation/version.js';
import { IncompleteResultError } from '../database/statement.js';
import { type User, USER_STATUSES, type UserStatus } from './user.entity.js';
import { parseUserName } from './user-name.js';
import { isSearch } from './user-search.js';
import {
  EmailTakenError,
  InvalidCreationPeriodError,
  InvalidEmailError,
  InvalidKeyPrefixError,
  InvalidSearchError,
  InvalidUserNameError,
  InvalidUserRoleError,
  InvalidUserStatusError,
  InvalidVersionsError,
  LastAdministratorError,
  UserChangedError,
  UserMatchesError,
  UserNotFoundError,
} from './users.errors.js';
import { type UserFilter, UsersRepository } from './users.repository.js';
import type { NewUser, UserChanges } from './users.statements.js';

export type { UserFilter };

/** The fields that users may change in their own profile. */
export interface ProfileChanges {
  /** Up to 255 characters; stored trimmed and in NFC. */
  readonly name?: string | undefined;
}

export interface UserRequest {
  readonly name: string;
  /** Stored as given; unique without regard to case. */
  readonly email: string;
  readonly isAdmin?: boolean;
  /** Requests a minute of all keys together, from 1; by default null, for no limit. */
  readonly rateLimitPerMinute?: number | null | undefined;
}

export interface UpdateOptions extends AuditOptions {
  /**
   * The change is made only while the user's `version` is one of these; by default, for any
   * version.
   */
  readonly ifVersions?: readonly string[] | undefined;
  /**
   * The change is not made while the user's `version` is one of these; `*` stands for every
   * version.
   */
  readonly unlessVersions?: readonly string[] | '*' | undefined;
}

/** Called with a user that is being created, and with the transaction. */
export type CreatedListener = (user: User, manager: EntityManager) => Promise<void>;

/**
 * Checks a request and returns its row.
 *
 * @throws InvalidUserNameError, InvalidEmailError, InvalidUserRoleError, InvalidRateLimitError
 */
export function checkUser({ name, email, isAdmin = false, rateLimitPerMinute = null }: UserRequest): NewUser {
  return {
    email: checkEmail(email),
    isAdmin: checkRole(isAdmin),
    name: checkName(name),
    rateLimitPerMinute: checkRateLimit(rateLimitPerMinute),
  };
}

function checkEmail(email: unknown): string {
  if (!isEmailAddress(email)) throw new InvalidEmailError();
  return email;
}

function checkRole(isAdmin: unknown): boolean {
  if (typeof isAdmin !== 'boolean') throw new InvalidUserRoleError();
  return isAdmin;
}

function checkName(name: unknown): string {
  if (typeof name !== 'string') throw new InvalidUserNameError('name must be a string');
  return parseUserName(name);
}

function checkStatus(status: UserStatus): UserStatus {
  if (!USER_STATUSES.includes(status)) throw new InvalidUserStatusError(USER_STATUSES);
  return status;
}

function checkRateLimit(rateLimit: number | null): number | null {
  if (!isRateLimit(rateLimit, 'user')) throw new InvalidRateLimitError('user');
  return rateLimit;
}

/** The check of each field that a change may have; a new field does not compile without one. */
const CHECKS: { readonly [Field in keyof UserChanges]-?: (value: never) => unknown } = {
  name: checkName,
  email: checkEmail,
  isAdmin: checkRole,
  status: checkStatus,
  rateLimitPerMinute: checkRateLimit,
};

/** @returns the fields that are given, as they are stored */
const checkedChanges = (changes: UserChanges): UserChanges =>
  Object.fromEntries(
    (Object.keys(CHECKS) as (keyof UserChanges)[])
      .filter((field) => changes[field] !== undefined)
      .map((field) => [field, CHECKS[field](changes[field] as never)]),
  );

/** @throws the error of the first field that is not valid */
export function checkFilter({
  status,
  email,
  apiKeyPrefix,
  search,
  createdAfter,
  createdBefore,
  isAdmin,
}: UserFilter): void {
  if (status !== undefined) checkStatus(status);
  if (email !== undefined && !isEmailAddress(email)) throw new InvalidEmailError();
  if (apiKeyPrefix !== undefined && !isVisiblePart(apiKeyPrefix)) throw new InvalidKeyPrefixError();
  if (search !== undefined && !isSearch(search)) throw new InvalidSearchError();
  if (![createdAfter, createdBefore].every((instant) => instant === undefined || isInstant(instant)))
    throw new InvalidCreationPeriodError();
  if (createdAfter && createdBefore && createdAfter >= createdBefore) throw new InvalidCreationPeriodError();
  if (isAdmin !== undefined && typeof isAdmin !== 'boolean') throw new InvalidUserRoleError();
}

/**
 * Whether a change requires an actor whose key has no scopes, because it may give a user more
 * rights.
 */
const needsAllScopes = ({ status, email, isAdmin }: UserChanges): boolean =>
  status === 'ACTIVE' || email !== undefined || isAdmin !== undefined;

/** No actor whose key has scopes may create an administrator. */
function refuseScopedPromotion(users: readonly NewUser[], by: Actor): void {
  if (by.scopes && users.some(({ isAdmin }) => isAdmin)) throw new InsufficientScopeError();
}

function checkVersions(versions: readonly string[] | undefined): void {
  if (versions !== undefined && !(Array.isArray(versions) && versions.every(isVersion)))
    throw new InvalidVersionsError();
}

/** The operations on users, with the same rules for HTTP, the command line and other modules. */
@Injectable()
export class UsersService {
  private readonly created: CreatedListener[] = [];

  constructor(private readonly users: UsersRepository) {}

  /**
   * Adds a listener that runs whenever a user is created, in the same transaction: if it throws, no
   * user is created.
   */
  onCreated(listener: CreatedListener): void {
    this.created.push(listener);
  }

  /** @throws UserNotFoundError when no such user exists */
  async getById(id: string, { manager }: TransactionOptions = {}): Promise<User> {
    const user = await this.users.findById(id, manager);
    if (!user) throw new UserNotFoundError({ id });
    return user;
  }

  /** The user with this address, without regard to case, or null. */
  async findByEmail(email: string): Promise<User | null> {
    return isAscii(email) ? this.users.findByEmail(email) : null;
  }

  /**
   * The users that match the filter, newest first.
   *
   * @throws InvalidUserStatusError, InvalidEmailError, InvalidKeyPrefixError, InvalidSearchError,
   *   InvalidCreationPeriodError, InvalidUserRoleError, InvalidPageWindowError,
   *   PageOutOfReachError, and SearchUnavailableError for a search if the database lacks the index
   *   for it
   */
  async list(filter: UserFilter, window: PageWindow): Promise<Page<User>> {
    checkFilter(filter);
    return this.users.findPage(filter, window);
  }

  /**
   * Creates an active user without keys, and without credits except those that `onCreated`
   * listeners add. Not safe to repeat: a second call is refused because of its e-mail address.
   *
   * @throws InvalidUserNameError, InvalidEmailError, InvalidUserRoleError, InsufficientScopeError
   *   for an administrator created with a key that has scopes, EmailTakenError
   */
  async create(request: UserRequest, { by = APPLICATION, manager }: ChangeOptions = {}): Promise<User> {
    const row = checkUser(request);
    refuseScopedPromotion([row], by);
    try {
      if (this.created.length === 0) return await this.users.insert(row, by, manager);
      return await this.users.inTransaction(manager, async (joined) => {
        const user = await this.users.insert(row, by, joined);
        for (const listener of this.created) await listener(user, joined);
        return this.getById(user.id, { manager: joined });
      });
    } catch (error) {
      throw refusal(error);
    }
  }

  /**
   * Creates many users of an import in one transaction, except those whose address is taken. Safe
   * to repeat. The audit trail records each of them as `user.created_by_import`.
   *
   * @returns the created users, as they were before `onCreated` listeners ran
   * @throws InvalidUserNameError, InvalidEmailError, InvalidUserRoleError, InsufficientScopeError;
   *   then no user is created
   */
  async createMissing(
    requests: readonly UserRequest[],
    { by = APPLICATION }: AuditOptions = {},
  ): Promise<readonly User[]> {
    const rows = requests.map(checkUser);
    refuseScopedPromotion(rows, by);
    try {
      return await this.users.inTransaction(undefined, async (manager) => {
        const created = await this.users.insertMissing(rows, by, manager);
        for (const user of created) for (const listener of this.created) await listener(user, manager);
        return created;
      });
    } catch (error) {
      throw refusal(error);
    }
  }

  /**
   * Records an import in the audit trail, as one event with the number of created users. Not safe
   * to repeat.
   *
   * @param created from 1
   */
  async recordImport(created: number, { by = APPLICATION }: AuditOptions = {}): Promise<void> {
    await this.users.recordImport(created, by);
  }

  /**
   * Applies a partial change: an absent field keeps its value, and an empty change is only a read.
   * Safe to repeat.
   *
   * @returns the user as stored by this call
   * @throws InvalidUserNameError, InvalidVersionsError, UserNotFoundError, UserChangedError when
   *   the version is not one of `ifVersions`, or UserMatchesError when it is one of
   *   `unlessVersions`, and then nothing is written; IncompleteResultError when the result of the
   *   database lacks the row
   */
  updateProfile(id: string, { name }: ProfileChanges, options?: UpdateOptions): Promise<User> {
    return this.change(id, { name } satisfies Record<keyof ProfileChanges, unknown>, options);
  }

  /**
   * Like `updateProfile`, and also changes the address, the role, the status and the rate limit. An
   * INACTIVE user's keys stop working with the next request, and work again once the user is
   * ACTIVE. A role and a rate limit apply to the next request. An actor whose key has scopes can
   * neither change an address or a role nor make a user ACTIVE.
   *
   * @throws what `updateProfile` throws, InvalidEmailError, InvalidUserRoleError,
   *   InvalidUserStatusError, InvalidRateLimitError, InsufficientScopeError, EmailTakenError and
   *   LastAdministratorError
   */
  async change(
    id: string,
    requested: UserChanges,
    { by = APPLICATION, ifVersions, unlessVersions = [] }: UpdateOptions = {},
  ): Promise<User> {
    const changes = checkedChanges(requested);
    checkVersions(ifVersions);
    if (unlessVersions !== '*') checkVersions(unlessVersions);
    if (by.scopes && needsAllScopes(changes)) throw new InsufficientScopeError();
    if (unlessVersions.length > 0) await this.refuseVersions(id, unlessVersions);
    const isEmpty = Object.keys(changes).length === 0;
    if (!isEmpty) {
      const user = await this.users.patch(id, changes, by, ifVersions).catch((error: unknown) => {
        throw refusal(error);
      });
      if (user) return user;
    }
    const user = await this.getById(id);
    if (isEmpty && (ifVersions?.includes(user.version) ?? true)) return user;
    throw ifVersions ? new UserChangedError() : new IncompleteResultError();
  }

  /**
   * Needs no lock: versions only increase, so a user whose version is no longer one of these never
   * has one of them again.
   */
  private async refuseVersions(id: string, versions: readonly string[] | '*'): Promise<void> {
    const { version } = await this.getById(id);
    if (versions === '*' || versions.includes(version)) throw new UserMatchesError();
  }
}

/**
 * Maps constraint violations to domain errors. PostgreSQL decides: its Unicode version may be newer
 * than Node's, and only the database sees every administrator.
 */
function refusal(error: unknown): unknown {
  if (violates(error, 'ck_users_name')) return new InvalidUserNameError('name is not one that can be stored');
  if (violates(error, 'ck_users_email')) return new InvalidEmailError();
  if (violates(error, 'uq_users_email')) return new EmailTakenError();
  if (violates(error, 'ck_users_last_administrator')) return new LastAdministratorError();
  return error;
}
