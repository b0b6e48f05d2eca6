import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import { PageRequest } from '../../../common/pagination/page.request.js';
import { Omittable } from '../../../common/validation/omittable.decorator.js';
import { Satisfies } from '../../../common/validation/satisfies.decorator.js';
import { IsId } from '../../../common/validation/uuid.js';
import { InvalidHoldDurationError, InvalidHoldStatusError } from '../../credits.errors.js';
import type { HoldTransaction } from '../../credits.service.js';
import { CreditTransaction, IsAmount, USER_ID } from '../../dto/credit.requests.js';
import { HOLD_STATUSES, type HoldStatus } from '../credit-hold.entity.js';
import { DEFAULT_HOLD_SECONDS, isHoldDuration, MAX_HOLD_SECONDS } from '../hold-rules.js';

/** A hold of credits, without its user. */
export class CreditHoldTransaction extends CreditTransaction {
  @ApiPropertyOptional({
    type: 'integer',
    format: 'int32',
    minimum: 1,
    maximum: MAX_HOLD_SECONDS,
    default: DEFAULT_HOLD_SECONDS,
    description:
      'Seconds after which the hold ends by itself: more than the longest work takes, since it cannot be captured then',
    example: 3600,
  })
  @Omittable()
  @Satisfies(isHoldDuration, new InvalidHoldDurationError())
  readonly expires_in_seconds?: number;
}

export class HoldCreate extends CreditHoldTransaction {
  @ApiProperty({ ...USER_ID, description: 'Whose credits are held' })
  @IsId()
  readonly user_id!: string;
}

export class HoldCapture {
  @IsAmount('What the work cost: no more credits than are held')
  readonly amount!: number;
}

export class HoldListRequest extends PageRequest {
  @ApiPropertyOptional({ ...USER_ID, description: 'The holds of this user instead of your own' })
  @Omittable()
  @IsId()
  readonly user_id?: string;

  @ApiPropertyOptional({ enum: HOLD_STATUSES, description: 'Only holds that have this status now', example: 'OPEN' })
  @Omittable()
  @IsIn(HOLD_STATUSES, { message: new InvalidHoldStatusError().message })
  readonly status?: HoldStatus;
}

/** A hold, in terms of `CreditsService`. */
export const holdOf = (body: CreditHoldTransaction): HoldTransaction => ({
  amount: body.amount,
  transactionId: body.transaction_id,
  transactionType: body.transaction_type,
  expiresInSeconds: body.expires_in_seconds,
});
