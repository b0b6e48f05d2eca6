import { ApiProperty } from '@nestjs/swagger';
import { rateLimitSchema } from '../../api-keys/dto/rate-limit.decorator.js';
import { INSTANT } from '../../common/docs/schemas.js';
import { MAX_EMAIL_LENGTH } from '../../common/validation/email.js';
import { EXAMPLE_USER_ID, UUID_SCHEMA } from '../../common/validation/uuid.js';
import { pageOf } from '../../common/pagination/pagination.response.js';
import { MAX_NAME_LENGTH } from '../user-name.js';
import { USER_STATUSES, type User, type UserStatus } from '../user.entity.js';

export class UserResponse {
  @ApiProperty({ ...UUID_SCHEMA, example: EXAMPLE_USER_ID })
  readonly id!: string;

  @ApiProperty(INSTANT)
  readonly created_at!: string;

  @ApiProperty({
    ...INSTANT,
    description: 'RFC 3339, UTC, milliseconds; increases with every change, and only then',
    example: '2026-01-02T10:00:00.000Z',
  })
  readonly updated_at!: string;

  @ApiProperty({ enum: USER_STATUSES, example: 'ACTIVE' })
  readonly status!: UserStatus;

  @ApiProperty({ minLength: 1, maxLength: MAX_NAME_LENGTH, example: 'Ada Lovelace' })
  readonly name!: string;

  @ApiProperty({ format: 'email', maxLength: MAX_EMAIL_LENGTH, example: 'ada@example.com' })
  readonly email!: string;

  @ApiProperty({
    type: 'integer',
    format: 'int64',
    description: "The user's current credit balance",
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    example: 40,
  })
  readonly credits_balance!: number;

  /** Copies only the named fields: a new column stays private until it is added here. */
  static from(user: User): UserResponse {
    return {
      id: user.id,
      created_at: user.createdAt.toISOString(),
      updated_at: user.updatedAt.toISOString(),
      status: user.status,
      name: user.name,
      email: user.email,
      credits_balance: user.creditsBalance,
    };
  }
}

/** The fields of a user that administrators can read. */
export class AdminUserResponse extends UserResponse {
  @ApiProperty({ description: 'Whether the user is an administrator', example: false })
  readonly is_admin!: boolean;

  @ApiProperty({
    ...rateLimitSchema('user'),
    description:
      'Requests a minute of all keys of the user together, which then have no limit of their own unless one is set; null for no limit',
  })
  readonly rate_limit_per_minute!: number | null;

  static override from(user: User): AdminUserResponse {
    return {
      ...UserResponse.from(user),
      is_admin: user.isAdmin,
      rate_limit_per_minute: user.rateLimitPerMinute,
    };
  }
}

export class UserPage extends pageOf(AdminUserResponse) {}
