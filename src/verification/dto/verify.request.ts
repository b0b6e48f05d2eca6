import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { ArrayMaxSize, IsArray, IsString } from 'class-validator';
import { InvalidRequiredScopesError } from '../../api-keys/api-keys.errors.js';
import { isScope, MAX_SCOPE_LENGTH, MAX_SCOPES, SCOPE } from '../../api-keys/scopes.js';
import { EXAMPLE_KEY } from '../../common/docs/key-prefixes.js';
import { nameSchemas } from '../../common/docs/names.js';
import { IsObjectOf } from '../../common/validation/is-object.decorator.js';
import { Satisfies } from '../../common/validation/satisfies.decorator.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { CreditTransaction } from '../../credits/dto/credit.requests.js';
import { CreditHoldTransaction } from '../../credits/holds/dto/hold.requests.js';
import { ChargeAndHoldError } from '../verification.errors.js';

nameSchemas(CreditTransaction, CreditHoldTransaction);

export class VerifyRequest {
  @ApiProperty({
    maxLength: 16_384,
    description: 'What your caller sent as its API key, of any shape',
    example: EXAMPLE_KEY,
  })
  @IsString()
  readonly key!: string;

  @ApiPropertyOptional({
    type: 'array',
    items: { type: 'string', pattern: SCOPE, maxLength: MAX_SCOPE_LENGTH },
    maxItems: MAX_SCOPES,
    description: 'What your caller needs: the key must have all of them, unless its scopes are null',
    example: ['jobs:write'],
  })
  @Omittable()
  @Satisfies((value) => Array.isArray(value) && value.every(isScope), new InvalidRequiredScopesError())
  @ArrayMaxSize(MAX_SCOPES)
  @IsString({ each: true, message: 'scopes must be texts' })
  @IsArray()
  readonly scopes?: readonly string[];

  @ApiPropertyOptional({
    type: CreditTransaction,
    description:
      'Credits to take from the owner of the key, where it is allowed. Needs the scope `ua:credits:charge` too. `transaction_id` is yours, one for each unit of work: never take it from your caller',
  })
  @Omittable()
  @IsObjectOf(() => CreditTransaction)
  readonly charge?: CreditTransaction;

  @ApiPropertyOptional({
    type: CreditHoldTransaction,
    description:
      'In place of `charge`: credits of the owner to hold, for work whose price is known afterwards. Needs the scope `ua:credits:charge` too. `transaction_id` is yours, one for each unit of work: never take it from your caller',
  })
  @Omittable()
  @Satisfies((_, { object }) => (object as VerifyRequest).charge === undefined, new ChargeAndHoldError())
  @IsObjectOf(() => CreditHoldTransaction)
  readonly hold?: CreditHoldTransaction;
}
