import { applyDecorators } from '@nestjs/common';
import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsString, Max, Min } from 'class-validator';
import { EXAMPLE_USER_ID, IsId, UUID_SCHEMA } from '../../common/validation/uuid.js';
import { DATE_SCHEMA } from '../../common/validation/period.js';
import { PageRequest } from '../../common/pagination/page.request.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { Satisfies } from '../../common/validation/satisfies.decorator.js';
import { InvalidTransactionIdError, InvalidTransactionTypeError } from '../credits.errors.js';
import type { CreditFilter } from '../credits.repository.js';
import { isTransactionId, MAX_TRANSACTION_ID_LENGTH } from '../credits.service.js';
import {
  DEFAULT_TRANSACTION_TYPE,
  isTransactionType,
  MAX_TRANSACTION_TYPE_LENGTH,
  TRANSACTION_TYPE,
} from '../transaction-type.js';

export const USER_ID = { ...UUID_SCHEMA, example: EXAMPLE_USER_ID };

/** The field is an amount of credits. */
export const IsAmount = (description = 'Credits'): PropertyDecorator =>
  applyDecorators(
    IsInt(), // this rule is reported first
    Min(1),
    Max(Number.MAX_SAFE_INTEGER),
    ApiProperty({
      type: 'integer',
      format: 'int64',
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description,
      example: 40,
    }),
  );

const TRANSACTION_ID = {
  minLength: 1,
  maxLength: MAX_TRANSACTION_ID_LENGTH,
  pattern: '^[^\\x00]+$',
  example: 'order-1815',
};
const TYPE = { pattern: TRANSACTION_TYPE, maxLength: MAX_TRANSACTION_TYPE_LENGTH, example: 'STRIPE_CHECKOUT' };

/** A movement of credits, without its user. */
export class CreditTransaction {
  @IsAmount()
  readonly amount!: number;

  @ApiProperty({
    ...TRANSACTION_ID,
    description:
      'Chosen by you, unique per user, for movements and holds together: the same request with it again returns the same entry, or the same hold while it is OPEN, and moves nothing',
  })
  @Satisfies(isTransactionId, new InvalidTransactionIdError())
  @IsString()
  readonly transaction_id!: string;

  @ApiPropertyOptional({
    ...TYPE,
    default: DEFAULT_TRANSACTION_TYPE,
    description: 'What the movement is for: any word of your own, such as FINE_TUNING_JOB or STRIPE_CHECKOUT',
  })
  @Omittable()
  @Satisfies(isTransactionType, new InvalidTransactionTypeError())
  @IsString()
  readonly transaction_type?: string;
}

export class CreditChange extends CreditTransaction {
  @ApiProperty({ ...USER_ID, description: 'Whose balance moves' })
  @IsId()
  readonly user_id!: string;
}

export class CreditHistoryRequest extends PageRequest {
  @ApiPropertyOptional({ ...DATE_SCHEMA, description: 'The first day, in UTC' })
  @Omittable()
  @IsString()
  readonly start_date?: string;

  @ApiPropertyOptional({ ...DATE_SCHEMA, description: 'The last day, in UTC; it belongs to the period' })
  @Omittable()
  @IsString()
  readonly end_date?: string;

  @ApiPropertyOptional({
    ...UUID_SCHEMA,
    description: 'Only entries of credits that were spent for this key',
    example: '0198c5a2-9d3f-4b8e-8c21-5e7f9a0b3d46',
  })
  @Omittable()
  @IsId()
  readonly api_key_id?: string;

  @ApiPropertyOptional({ ...TRANSACTION_ID, description: 'Only the entry of this transaction, if there is one' })
  @Omittable()
  @Satisfies(isTransactionId, new InvalidTransactionIdError())
  readonly transaction_id?: string;

  @ApiPropertyOptional({ ...TYPE, description: 'Only entries of this type' })
  @Omittable()
  @Satisfies(isTransactionType, new InvalidTransactionTypeError())
  readonly transaction_type?: string;

  @ApiPropertyOptional({ ...USER_ID, description: 'For administrators: the history of this user instead of their own' })
  @Omittable()
  @IsId()
  readonly user_id?: string;
}

/** The filter of a history, in terms of `CreditsService`. */
export const creditFilterOf = ({
  start_date: startDate,
  end_date: endDate,
  api_key_id: apiKeyId,
  transaction_id: transactionId,
  transaction_type: transactionType,
}: CreditHistoryRequest): CreditFilter => ({ startDate, endDate, apiKeyId, transactionId, transactionType });
