import { Inject } from '@nestjs/common';

/** What the features can be told. `UsersApiModule.forRootAsync` may find it out while the application starts. */
export interface UsersApiOptions {
  /** Credits that each new user gets, as an entry, in the transaction that makes the user; 0 by default. */
  readonly newUserCredits?: number;
  /** Requests of one key, and failed authentications of one address; by default 0, for no limit. */
  readonly rateLimitPerMinute?: number;
  /** Where instances count together; undefined: each for itself. */
  readonly redisUrl?: string | undefined;
}

export const USERS_API_OPTIONS = Symbol('options of the users API');

export const InjectOptions = (): ParameterDecorator => Inject(USERS_API_OPTIONS);
