import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsString } from 'class-validator';
import { PageRequest } from '../../common/pagination/page.request.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { USER_STATUSES, type UserStatus } from '../user.entity.js';
import { InvalidUserStatusError } from '../users.errors.js';
import { MAX_NAME_LENGTH, NAME_PATTERN } from '../user-name.js';

/* `UsersService` holds the rules for names and addresses; the document repeats them. */

/** The stored form; a name in a request is first trimmed and normalized, as the operations say. */
const NAME = { minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN, example: 'Ada Lovelace' };
const EMAIL = { format: 'email', maxLength: 254, example: 'ada@example.com' };
const ONE_OF_STATUSES = { message: new InvalidUserStatusError(USER_STATUSES).message };

/** What users may change in their own row. */
export class UserUpdate {
  @ApiPropertyOptional({ ...NAME, description: 'The updated name of the user' })
  @Omittable()
  @IsString()
  readonly name?: string;
}

export class UserCreate {
  @ApiProperty(NAME)
  @IsString()
  readonly name!: string;

  @ApiProperty({ ...EMAIL, description: 'Stored as given; unique without regard to case' })
  @IsString()
  readonly email!: string;
}

export class UserAdminUpdate extends UserUpdate {
  @ApiPropertyOptional({ enum: USER_STATUSES, description: "An INACTIVE user's keys do not work" })
  @Omittable()
  @IsIn(USER_STATUSES, ONE_OF_STATUSES)
  readonly status?: UserStatus;
}

export class UserListRequest extends PageRequest {
  @ApiPropertyOptional({ enum: USER_STATUSES })
  @Omittable()
  @IsIn(USER_STATUSES, ONE_OF_STATUSES)
  readonly status?: UserStatus;

  @ApiPropertyOptional({ ...EMAIL, description: 'The whole address, without regard to case' })
  @Omittable()
  @IsString()
  readonly email?: string;
}
