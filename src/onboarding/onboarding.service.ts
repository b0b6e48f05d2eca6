import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { type Actor, APPLICATION } from '../common/audit/actor.js';
import type { KeyView } from '../api-keys/api-keys.repository.js';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import { retryingConflicts } from '../database/retry.js';
import type { User } from '../users/user.entity.js';
import { type UserRequest, UsersService } from '../users/users.service.js';

/** Any number that nobody else locks in the same database. */
const FIRST_START_LOCK = 7_573_003;
const DAY_MS = 24 * 60 * 60 * 1000;

export const FIRST_KEY_NAME = 'first-key';
export const DEFAULT_KEY_DAYS = 365;

/** The longest an operator can let a key live: ten years. */
export const MAX_KEY_DAYS = 3650;

export interface FirstKey {
  /** Days from now until the key expires. */
  readonly days?: number;
  readonly secret?: string | undefined;
}

export const daysFromNow = (days: number): Date => new Date(Date.now() + days * DAY_MS);

/** Users who can start right away: each is made together with a first key, in one transaction. */
@Injectable()
export class OnboardingService {
  constructor(
    private readonly database: DataSource,
    private readonly users: UsersService,
    private readonly apiKeys: ApiKeysService,
  ) {}

  /**
   * @returns the user, the key and its secret, which can never be had again
   * @throws what `UsersService.create` and `ApiKeysService.create` throw, and then neither is made
   */
  createUserWithKey(
    user: UserRequest,
    key: FirstKey = {},
    by: Actor = APPLICATION,
  ): Promise<{ user: User; key: KeyView; secret: string }> {
    const work = async (manager: EntityManager): Promise<{ user: User; key: KeyView; secret: string }> => {
      const created = await this.users.create(user, by, manager);
      const { days = DEFAULT_KEY_DAYS, secret } = key;
      const request = { userId: created.id, name: FIRST_KEY_NAME, expiresAt: daysFromNow(days), secret };
      return { user: created, ...(await this.apiKeys.create(request, by, manager)) };
    };
    return retryingConflicts(() => this.database.transaction(work));
  }

  /**
   * Makes the first administrator of a database that has no user yet. Of any number of instances that start at once,
   * one does it.
   *
   * @returns the secret of its key, or null when there was a user already
   */
  async createFirstAdministrator(email: string, secret?: string): Promise<string | null> {
    const hasUsers = async (manager: EntityManager): Promise<boolean> =>
      (await manager.query<unknown[]>('SELECT 1 FROM users LIMIT 1')).length > 0;
    if (await hasUsers(this.database.manager)) return null; // the usual start waits for nobody
    return this.database.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock($1)', [FIRST_START_LOCK]);
      if (await hasUsers(manager)) return null;
      const admin = await this.users.create({ name: 'Administrator', email, isAdmin: true }, APPLICATION, manager);
      const expiresAt = daysFromNow(DEFAULT_KEY_DAYS);
      const request = { userId: admin.id, name: FIRST_KEY_NAME, expiresAt, secret };
      return (await this.apiKeys.create(request, APPLICATION, manager)).secret;
    });
  }
}
