import { ApiProperty } from '@nestjs/swagger';
import { pageOf } from '../../common/pagination/pagination.response.js';
import type { CreditEntry } from '../credit-entry.entity.js';
import { TRANSACTION_TYPE } from '../transaction-type.js';

export class CreditEntryResponse {
  @ApiProperty({ format: 'uuid', example: '7c2f6f5e-0d6a-4f0b-8b39-6f3f5d1c2e4a' })
  readonly id!: string;

  @ApiProperty({ format: 'date-time', description: 'RFC 3339, UTC, milliseconds', example: '2026-01-01T09:30:00.000Z' })
  readonly created_at!: string;

  @ApiProperty({ type: 'integer', description: 'Negative spends', example: 40 })
  readonly credits!: number;

  @ApiProperty({ example: 'order-1815' })
  readonly transaction_id!: string;

  @ApiProperty({
    pattern: TRANSACTION_TYPE,
    description: 'What the movement was for, in the words of the API product; not a closed list',
    example: 'STRIPE_CHECKOUT',
  })
  readonly transaction_type!: string;

  @ApiProperty({ type: 'integer', minimum: 0, description: 'The balance right after this entry', example: 40 })
  readonly balance_after!: number;

  static from(entry: CreditEntry): CreditEntryResponse {
    return {
      id: entry.id,
      created_at: entry.createdAt.toISOString(),
      credits: entry.credits,
      transaction_id: entry.transactionId,
      transaction_type: entry.transactionType,
      balance_after: entry.balanceAfter,
    };
  }
}

export class CreditEntryPage extends pageOf(CreditEntryResponse) {}
