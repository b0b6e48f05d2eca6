import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsString } from 'class-validator';
import { IsRateLimit, rateLimitSchema } from '../../api-keys/dto/rate-limit.decorator.js';
import { MAX_VISIBLE_LENGTH, VISIBLE_PART } from '../../common/api-key-format.js';
import { EXAMPLE_VISIBLE_PART } from '../../common/docs/key-prefixes.js';
import { PageRequest } from '../../common/pagination/page.request.js';
import { MAX_EMAIL_LENGTH } from '../../common/validation/email.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { USER_STATUSES, type UserStatus } from '../user.entity.js';
import { InvalidUserStatusError } from '../users.errors.js';
import type { UserRequest } from '../users.service.js';
import type { UserChanges } from '../users.statements.js';
import { EXACT_NAME_PATTERN, MAX_NAME_LENGTH, NAME_RULE, SIMPLE_NAME_PATTERN } from '../user-name.js';

/* `UsersService` holds the rules for names and addresses; the document repeats them. */

/**
 * The length and the exact pattern are for the stored form; a name in a request is first trimmed
 * and normalized, as the operations say.
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

/** What users may change in their own row. */
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
    enum: USER_STATUSES,
    description: "An INACTIVE user's keys do not work",
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

  @ApiPropertyOptional({ ...EMAIL, description: 'The whole address, without regard to case' })
  @Omittable()
  @IsString()
  readonly email?: string;

  @ApiPropertyOptional({
    pattern: VISIBLE_PART,
    maxLength: MAX_VISIBLE_LENGTH,
    example: EXAMPLE_VISIBLE_PART,
    description:
      'Only users who have a key with this `prefix`, exactly as a key response shows it, whether the key is ACTIVE, EXPIRED or REVOKED. A rotation replaces the `prefix` of a key: that of the old secret finds nobody',
  })
  @Omittable()
  @IsString()
  readonly api_key_prefix?: string;
}

/** A new user, in terms of `UsersService`. */
export const newUserOf = ({ name, email, rate_limit_per_minute: rateLimitPerMinute }: UserCreate): UserRequest => ({
  name,
  email,
  rateLimitPerMinute,
});

/** The changes of a user, in terms of `UsersService`; absent ones are undefined. */
export const changesOf = ({
  name,
  status,
  rate_limit_per_minute: rateLimitPerMinute,
}: UserAdminUpdate): UserChanges => ({ name, status, rateLimitPerMinute });
