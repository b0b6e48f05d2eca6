import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsString } from 'class-validator';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { MAX_NAME_LENGTH, NAME_PATTERN } from '../user-name.js';

/** What users may change about themselves. `UsersService` holds the rule for the name; the document repeats it. */
export class UserUpdate {
  @ApiPropertyOptional({
    description: 'The updated name of the user',
    minLength: 1,
    maxLength: MAX_NAME_LENGTH,
    pattern: NAME_PATTERN,
    example: 'Ada Lovelace',
  })
  @Omittable()
  @IsString()
  readonly name?: string;
}
