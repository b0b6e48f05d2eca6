import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { AuditOptions, ChangeOptions } from '../audit-trail/change-options.js';
import type { KeyView } from '../api-keys/key-view.js';
import { ApiKeysService, type KeyWithSecret } from '../api-keys/api-keys.service.js';
import { DEFAULT_KEY_DAYS } from '../config/rules.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { retryingConflicts } from '../database/retry.js';
import type { User } from '../users/user.entity.js';
import { type UserRequest, UsersService } from '../users/users.service.js';

const DAY_MS = 24 * 60 * 60 * 1000;

export { DEFAULT_KEY_DAYS, MAX_KEY_DAYS } from '../config/rules.js';
export const FIRST_KEY_NAME = 'first-key';

export interface FirstKey {
  /** Days from now until the key expires; 365 by default. */
  readonly days?: number;
  /** A secret that was generated elsewhere; by default a new one. */
  readonly secret?: string | undefined;
}

/** A new user with its first key. The secret cannot be read again. */
export interface UserWithKey {
  readonly user: User;
  readonly key: KeyView;
  readonly secret: string;
}

export const daysFromNow = (days: number): Date => new Date(Date.now() + days * DAY_MS);

/** Creates users together with a first key, in one transaction. */
@Injectable()
export class OnboardingService {
  constructor(
    private readonly database: DataSource,
    private readonly users: UsersService,
    private readonly apiKeys: ApiKeysService,
  ) {}

  /**
   * @returns the user, its key and the secret of the key
   * @throws what `UsersService.create` and `ApiKeysService.create` throw; then nothing is created
   */
  createUserWithKey(user: UserRequest, { by, ...key }: FirstKey & AuditOptions = {}): Promise<UserWithKey> {
    const work = async (manager: EntityManager): Promise<UserWithKey> => {
      const created = await this.users.create(user, { by, manager });
      return { user: created, ...(await this.createFirstKey(created.id, key, { by, manager })) };
    };
    return retryingConflicts(() => this.database.transaction(work));
  }

  /**
   * Creates the first administrator of a database that has no user yet. Of any number of instances
   * that start at once, exactly one creates it.
   *
   * @returns the key, or null when there was already a user
   */
  async createFirstAdministrator(email: string, key: FirstKey = {}): Promise<KeyWithSecret | null> {
    const hasUsers = async (manager: EntityManager): Promise<boolean> =>
      (await manager.query<unknown[]>('SELECT 1 FROM users LIMIT 1')).length > 0;
    if (await hasUsers(this.database.manager)) return null; // the usual start waits for no lock
    return this.database.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCKS.firstStart]);
      if (await hasUsers(manager)) return null;
      const admin = await this.users.create({ name: 'Administrator', email, isAdmin: true }, { manager });
      return this.createFirstKey(admin.id, key, { manager });
    });
  }

  private createFirstKey(
    userId: string,
    { days = DEFAULT_KEY_DAYS, secret }: FirstKey,
    options: ChangeOptions,
  ): Promise<KeyWithSecret> {
    const request = { userId, name: FIRST_KEY_NAME, expiresAt: daysFromNow(days), secret };
    return this.apiKeys.create(request, options);
  }
}
