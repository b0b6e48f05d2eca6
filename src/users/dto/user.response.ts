import { ApiProperty } from '@nestjs/swagger';
import { pageOf } from '../../common/pagination/pagination.response.js';
import { USER_STATUSES, type User, type UserStatus } from '../user.entity.js';

export class UserResponse {
  @ApiProperty({ format: 'uuid', example: '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90' })
  readonly id!: string;

  @ApiProperty({ format: 'date-time', description: 'RFC 3339, UTC, milliseconds', example: '2026-01-01T09:30:00.000Z' })
  readonly created_at!: string;

  @ApiProperty({
    format: 'date-time',
    description: 'RFC 3339, UTC, milliseconds; increases with every change, and only then',
    example: '2026-01-02T10:00:00.000Z',
  })
  readonly updated_at!: string;

  @ApiProperty({ enum: USER_STATUSES, example: 'ACTIVE' })
  readonly status!: UserStatus;

  @ApiProperty({ example: 'Ada Lovelace' })
  readonly name!: string;

  @ApiProperty({ format: 'email', example: 'ada@example.com' })
  readonly email!: string;

  @ApiProperty({
    type: 'integer',
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

export class UserPage extends pageOf(UserResponse) {}
