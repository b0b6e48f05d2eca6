import { ApiProperty } from '@nestjs/swagger';
import { INSTANT } from '../../../common/docs/schemas.js';
import { EXAMPLE_USER_ID, UUID_SCHEMA } from '../../../common/validation/uuid.js';
import { CREDIT_ENTRY_SCHEMAS } from '../../dto/credit-entry.response.js';
import { type CreditHold, HOLD_STATUSES, type HoldStatus } from '../credit-hold.entity.js';

const CREDITS = { type: 'integer', format: 'int64', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } as const;

export class HoldResponse {
  @ApiProperty({ ...UUID_SCHEMA, example: '0198c5a2-9d3f-7b8e-8c21-5e7f9a0b3d46' })
  readonly id!: string;

  @ApiProperty({ type: 'string', ...INSTANT })
  readonly created_at!: string;

  @ApiProperty({ ...UUID_SCHEMA, example: EXAMPLE_USER_ID })
  readonly user_id!: string;

  @ApiProperty({ ...CREDITS, description: 'The credits that are held', example: 40 })
  readonly amount!: number;

  @ApiProperty({ enum: HOLD_STATUSES, enumName: 'HoldStatus', example: 'OPEN' })
  readonly status!: HoldStatus;

  @ApiProperty({ type: 'string', ...INSTANT, description: 'From this instant on, an open hold is EXPIRED' })
  readonly expires_at!: string;

  @ApiProperty({ type: 'string', ...INSTANT, nullable: true, description: 'When the hold ended', example: null })
  readonly settled_at!: string | null;

  @ApiProperty({ ...CREDITS, nullable: true, description: 'The credits that a capture took', example: null })
  readonly captured!: number | null;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.transaction_id)
  readonly transaction_id!: string;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.transaction_type)
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
