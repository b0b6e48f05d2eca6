import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { INSTANT } from '../../common/docs/schemas.js';
import { UUID_SCHEMA } from '../../common/validation/uuid.js';
import { MAX_TRANSACTION_ID_LENGTH } from '../credits.service.js';
import { pageOf } from '../../common/pagination/pagination.response.js';
import type { CreditEntry } from '../credit-entry.entity.js';
import { MAX_TRANSACTION_TYPE_LENGTH, TRANSACTION_TYPE } from '../transaction-type.js';

/** The properties of an entry in the document. */
export const CREDIT_ENTRY_SCHEMAS = {
  id: { type: 'string', ...UUID_SCHEMA, example: '7c2f6f5e-0d6a-4f0b-8b39-6f3f5d1c2e4a' },
  created_at: { type: 'string', ...INSTANT },
  credits: {
    type: 'integer',
    format: 'int64',
    minimum: -Number.MAX_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Negative where credits were spent',
    example: 40,
  },
  transaction_id: { type: 'string', minLength: 1, maxLength: MAX_TRANSACTION_ID_LENGTH, example: 'order-1815' },
  transaction_type: {
    type: 'string',
    pattern: TRANSACTION_TYPE,
    maxLength: MAX_TRANSACTION_TYPE_LENGTH,
    description: 'What the movement was for, in the words of the API product; not a closed list',
    example: 'STRIPE_CHECKOUT',
  },
  balance_after: {
    type: 'integer',
    format: 'int64',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'The balance right after this entry',
    example: 40,
  },
  api_key_id: {
    type: 'string',
    ...UUID_SCHEMA,
    nullable: true,
    description: 'The key of the user for which a verification spent the credits; null for every other entry',
    example: null,
  },
} as const satisfies Record<string, ApiPropertyOptions>;

export class CreditEntryResponse {
  @ApiProperty(CREDIT_ENTRY_SCHEMAS.id)
  readonly id!: string;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.created_at)
  readonly created_at!: string;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.credits)
  readonly credits!: number;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.transaction_id)
  readonly transaction_id!: string;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.transaction_type)
  readonly transaction_type!: string;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.balance_after)
  readonly balance_after!: number;

  @ApiProperty(CREDIT_ENTRY_SCHEMAS.api_key_id)
  readonly api_key_id!: string | null;

  static from(entry: CreditEntry): CreditEntryResponse {
    return {
      id: entry.id,
      created_at: entry.createdAt.toISOString(),
      credits: entry.credits,
      transaction_id: entry.transactionId,
      transaction_type: entry.transactionType,
      balance_after: entry.balanceAfter,
      api_key_id: entry.apiKeyId,
    };
  }
}

export class CreditEntryPage extends pageOf(CreditEntryResponse) {}
