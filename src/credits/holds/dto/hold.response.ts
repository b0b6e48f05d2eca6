import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { INSTANT } from '../../../common/docs/schemas.js';
import { pageOf } from '../../../common/pagination/pagination.response.js';
import { EXAMPLE_USER_ID, UUID_SCHEMA } from '../../../common/validation/uuid.js';
import { CREDIT_ENTRY_SCHEMAS } from '../../dto/credit-entry.response.js';
import { type CreditHold, HOLD_STATUSES, type HoldStatus } from '../credit-hold.entity.js';

export const EXAMPLE_HOLD_ID = '0198c5a2-a1b2-7c3d-8e4f-5a6b7c8d9e0f';

/** The properties of a hold in the document. */
export const HOLD_SCHEMAS = {
  id: { type: 'string', ...UUID_SCHEMA, example: EXAMPLE_HOLD_ID },
  created_at: { type: 'string', ...INSTANT },
  user_id: { type: 'string', ...UUID_SCHEMA, description: 'Whose credits are held', example: EXAMPLE_USER_ID },
  amount: {
    type: 'integer',
    format: 'int64',
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'The credits that nothing else can spend while the hold is OPEN',
    example: 40,
  },
  status: {
    type: 'string',
    enum: [...HOLD_STATUSES],
    description: 'OPEN until it is captured, voided or expires; then it never changes again',
    example: 'OPEN',
  },
  expires_at: {
    type: 'string',
    ...INSTANT,
    description:
      'The first instant at which the hold is EXPIRED unless it has ended before. RFC 3339, UTC, milliseconds',
    example: '2026-01-01T10:30:00.000Z',
  },
  settled_at: {
    type: 'string',
    ...INSTANT,
    nullable: true,
    description: 'When the hold ended: `expires_at` for an EXPIRED one, null for an OPEN one',
    example: null,
  },
  captured: {
    type: 'integer',
    format: 'int64',
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    nullable: true,
    description: 'The credits that the capture took; null unless the hold is CAPTURED',
    example: null,
  },
  transaction_id: CREDIT_ENTRY_SCHEMAS.transaction_id,
  transaction_type: {
    ...CREDIT_ENTRY_SCHEMAS.transaction_type,
    description: 'That of the entry which a capture makes',
    example: 'FINE_TUNING_JOB',
  },
} as const satisfies Record<string, ApiPropertyOptions>;

export class HoldResponse {
  @ApiProperty(HOLD_SCHEMAS.id)
  readonly id!: string;

  @ApiProperty(HOLD_SCHEMAS.created_at)
  readonly created_at!: string;

  @ApiProperty(HOLD_SCHEMAS.user_id)
  readonly user_id!: string;

  @ApiProperty(HOLD_SCHEMAS.amount)
  readonly amount!: number;

  @ApiProperty(HOLD_SCHEMAS.status)
  readonly status!: HoldStatus;

  @ApiProperty(HOLD_SCHEMAS.expires_at)
  readonly expires_at!: string;

  @ApiProperty(HOLD_SCHEMAS.settled_at)
  readonly settled_at!: string | null;

  @ApiProperty(HOLD_SCHEMAS.captured)
  readonly captured!: number | null;

  @ApiProperty(HOLD_SCHEMAS.transaction_id)
  readonly transaction_id!: string;

  @ApiProperty(HOLD_SCHEMAS.transaction_type)
  readonly transaction_type!: string;

  static from(hold: CreditHold): HoldResponse {
    return {
      id: hold.id,
      created_at: hold.createdAt.toISOString(),
      user_id: hold.userId,
      amount: hold.amount,
      status: hold.status,
      expires_at: hold.expiresAt.toISOString(),
      settled_at: hold.settledAt?.toISOString() ?? null,
      captured: hold.captured,
      transaction_id: hold.transactionId,
      transaction_type: hold.transactionType,
    };
  }
}

export class HoldPage extends pageOf(HoldResponse) {}
