import { Inject } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { Omittable } from '../common/validation/omittable.decorator.js';
import { Fits, integerFrom, isIntegerFrom, isRedisUrl, MAX_COUNT, REDIS_URL } from './rules.js';

/** What the features can be told. `UsersApiModule.forRootAsync` may find it out while the application starts. */
export class UsersApiOptions {
  /** Credits that each new user gets, as an entry, in the transaction that makes the user; 0 by default. */
  @Omittable()
  @Fits(integerFrom(0, MAX_COUNT), isIntegerFrom(0, MAX_COUNT))
  readonly newUserCredits?: number | undefined;

  /** Requests of one key, and failed authentications of one address; by default 0, for no limit. */
  @Omittable()
  @Fits(integerFrom(0, MAX_COUNT), isIntegerFrom(0, MAX_COUNT))
  readonly rateLimitPerMinute?: number | undefined;

  /** Where instances count together; undefined: each for itself. */
  @Omittable()
  @Fits(REDIS_URL, (value: unknown) => typeof value === 'string' && isRedisUrl(value))
  readonly redisUrl?: string | undefined;
}

/** Options that mean nothing, or not what they seem to: a start is the moment to learn of it. */
export class InvalidUsersApiOptionsError extends Error {
  constructor(problems: readonly string[]) {
    super(`The options of UsersApiModule are not valid: ${problems.join('; ')}`);
    this.name = 'InvalidUsersApiOptionsError';
  }
}

/** @throws InvalidUsersApiOptionsError naming every problem at once; nothing is coerced */
export function checkOptions(options: UsersApiOptions): UsersApiOptions {
  const checked = plainToInstance(UsersApiOptions, options);
  const errors = validateSync(checked, { whitelist: true, forbidNonWhitelisted: true });
  if (errors.length === 0) return checked;
  throw new InvalidUsersApiOptionsError(errors.flatMap(({ constraints = {} }) => Object.values(constraints)));
}

export const USERS_API_OPTIONS = Symbol('options of the users API');

export const InjectOptions = (): ParameterDecorator => Inject(USERS_API_OPTIONS);
