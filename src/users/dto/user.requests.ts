import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsBoolean, IsIn, IsString } from 'class-validator';
import { IsRateLimit, rateLimitSchema } from '../../api-keys/dto/rate-limit.decorator.js';
import { MAX_VISIBLE_LENGTH, VISIBLE_PART } from '../../common/api-key-format.js';
import { EXAMPLE_VISIBLE_PART } from '../../common/docs/key-prefixes.js';
import { PageRequest } from '../../common/pagination/page.request.js';
import { MAX_EMAIL_LENGTH } from '../../common/validation/email.js';
import { INSTANT_SCHEMA, IsInstant } from '../../common/validation/instant.decorator.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { Satisfies } from '../../common/validation/satisfies.decorator.js';
import { USER_STATUSES, type UserStatus } from '../user.entity.js';
import { isSearch, MAX_SEARCH_LENGTH, MIN_SEARCH_LENGTH, SEARCH_PATTERN } from '../user-search.js';
import { InvalidSearchError, InvalidUserRoleError, InvalidUserStatusError } from '../users.errors.js';
import type { UserFilter } from '../users.repository.js';
import type { UserRequest } from '../users.service.js';
import type { UserChanges } from '../users.statements.js';
import { EXACT_NAME_PATTERN, MAX_NAME_LENGTH, NAME_RULE, SIMPLE_NAME_PATTERN } from '../user-name.js';

/* `UsersService` checks names and addresses; the document repeats the rules. */

/**
 * The length and the exact pattern apply to the stored form: a name in a request is first trimmed
 * and normalized, as the operations state.
 */
const NAME = {
  minLength: 1,
  maxLength: MAX_NAME_LENGTH,
  pattern: SIMPLE_NAME_PATTERN,
  example: 'Ada Lovelace',
  'x-exact-rule': NAME_RULE,
  'x-exact-pattern': EXACT_NAME_PATTERN,
};
const EMAIL = { format: 'email', maxLength: MAX_EMAIL_LENGTH, example: 'ada@example.com' };
const ONE_OF_STATUSES = { message: new InvalidUserStatusError(USER_STATUSES).message };

const RATE_LIMIT = {
  ...rateLimitSchema('user'),
  description:
    'Requests a minute of all keys of the user together, which then have no limit of their own unless one is set; null for no limit',
} as const;

/** The fields that users may change in their own row. */
export class UserUpdate {
  @ApiPropertyOptional({ ...NAME, description: 'The updated name of the user' })
  @Omittable()
  @IsString()
  readonly name?: string;
}

export class UserCreate {
  @ApiProperty({ ...NAME, description: 'The name of the user' })
  @IsString()
  readonly name!: string;

  @ApiProperty({ ...EMAIL, description: 'Stored as given; unique without regard to case' })
  @IsString()
  readonly email!: string;

  @ApiPropertyOptional({ ...RATE_LIMIT, default: null })
  @Omittable()
  @IsRateLimit('user')
  readonly rate_limit_per_minute?: number | null;
}

export class UserAdminUpdate extends UserUpdate {
  @ApiPropertyOptional({
    ...EMAIL,
    description: 'Stored as given; unique without regard to case. Changing it takes a key whose scopes are null',
  })
  @Omittable()
  @IsString()
  readonly email?: string;

  @ApiPropertyOptional({
    description:
      'Whether the user is an administrator, from the next request on. Changing it takes a key whose scopes are null',
    example: false,
  })
  @Omittable()
  @IsBoolean({ message: 'is_admin must be true or false' })
  readonly is_admin?: boolean;

  @ApiPropertyOptional({
    enum: USER_STATUSES,
    description: "An INACTIVE user's keys do not work. ACTIVE takes a key whose scopes are null",
    example: 'ACTIVE',
  })
  @Omittable()
  @IsIn(USER_STATUSES, ONE_OF_STATUSES)
  readonly status?: UserStatus;

  @ApiPropertyOptional(RATE_LIMIT)
  @Omittable()
  @IsRateLimit('user')
  readonly rate_limit_per_minute?: number | null;
}

export class UserListRequest extends PageRequest {
  @ApiPropertyOptional({ enum: USER_STATUSES, description: 'Only users with this status', example: 'ACTIVE' })
  @Omittable()
  @IsIn(USER_STATUSES, ONE_OF_STATUSES)
  readonly status?: UserStatus;

  @ApiPropertyOptional({ ...EMAIL, description: 'Only the user with this e-mail address, without regard to case' })
  @Omittable()
  @IsString()
  readonly email?: string;

  @ApiPropertyOptional({
    pattern: VISIBLE_PART,
    maxLength: MAX_VISIBLE_LENGTH,
    example: EXAMPLE_VISIBLE_PART,
    description:
      'Only users who have a key with this `prefix`, exactly as a key response shows it, whether the key is ACTIVE, EXPIRED or REVOKED. A rotation replaces the `prefix` of a key: that of the old secret finds no user',
  })
  @Omittable()
  @IsString()
  readonly api_key_prefix?: string;

  @ApiPropertyOptional({
    minLength: MIN_SEARCH_LENGTH,
    maxLength: MAX_SEARCH_LENGTH,
    pattern: SEARCH_PATTERN,
    example: 'lovelace',
    description:
      'Only users whose name or e-mail address contains this text, without regard to case. 3 characters or more, in any language; `%`, `_` and `\\` stand for themselves, and accents matter. Needs an index that the database may lack: the response is 400 then',
  })
  @Omittable()
  @Satisfies(isSearch, new InvalidSearchError())
  readonly search?: string;

  @ApiPropertyOptional({
    ...INSTANT_SCHEMA,
    example: '2026-01-01T00:00:00Z',
    description: 'Only users who were created at this instant or later',
  })
  @Omittable()
  @IsInstant()
  readonly created_after?: Date;

  @ApiPropertyOptional({
    ...INSTANT_SCHEMA,
    example: '2026-02-01T00:00:00Z',
    description:
      'Only users who were created before this instant. For one day, send its midnight as `created_after` and the next midnight as this',
  })
  @Omittable()
  @IsInstant()
  readonly created_before?: Date;

  @ApiPropertyOptional({ type: Boolean, example: true, description: 'Only administrators, or only all others' })
  @Omittable()
  @Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value))
  @IsBoolean({ message: new InvalidUserRoleError('is_admin').message })
  readonly is_admin?: boolean;
}

/** The filter of a list, in terms of `UsersService`. */
export const userFilterOf = ({
  status,
  email,
  api_key_prefix: apiKeyPrefix,
  search,
  created_after: createdAfter,
  created_before: createdBefore,
  is_admin: isAdmin,
}: UserListRequest): UserFilter => ({ status, email, apiKeyPrefix, search, createdAfter, createdBefore, isAdmin });

/** A new user, in terms of `UsersService`. */
export const newUserOf = ({ name, email, rate_limit_per_minute: rateLimitPerMinute }: UserCreate): UserRequest => ({
  name,
  email,
  rateLimitPerMinute,
});

/** The changes of a user, in terms of `UsersService`; absent ones are undefined. */
export const changesOf = ({
  name,
  email,
  is_admin: isAdmin,
  status,
  rate_limit_per_minute: rateLimitPerMinute,
}: UserAdminUpdate): UserChanges =>
  ({ name, email, isAdmin, status, rateLimitPerMinute }) satisfies Record<keyof UserChanges, unknown>;
