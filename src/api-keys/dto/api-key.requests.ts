import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsString, Max, Min } from 'class-validator';
import { PageRequest } from '../../common/pagination/page.request.js';
import { INSTANT_SCHEMA, IsInstant } from '../../common/validation/instant.decorator.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { API_KEY_NAME, MAX_API_KEY_NAME_LENGTH, MAX_OVERLAP_SECONDS } from '../api-key-rules.js';

const NAME = {
  pattern: API_KEY_NAME,
  maxLength: MAX_API_KEY_NAME_LENGTH,
  description: 'Unique among your keys, whatever became of them; not "current"',
  example: 'laptop',
};
const EXPIRES_AT = {
  ...INSTANT_SCHEMA,
  description: 'RFC 3339; the first instant at which the key no longer works, in the future',
  example: '2030-01-01T00:00:00.000Z',
};

export class ApiKeyCreate {
  @ApiProperty(NAME)
  @IsString()
  readonly name!: string;

  @ApiProperty(EXPIRES_AT)
  @IsInstant()
  readonly expires_at!: Date;
}

export class ApiKeyUpdate {
  @ApiPropertyOptional(NAME)
  @Omittable()
  @IsString()
  readonly name?: string;

  @ApiPropertyOptional(EXPIRES_AT)
  @Omittable()
  @IsInstant()
  readonly expires_at?: Date;
}

export class ApiKeyRotate {
  @ApiProperty(EXPIRES_AT)
  @IsInstant()
  readonly expires_at!: Date;

  @ApiPropertyOptional({
    type: 'integer',
    format: 'int32',
    minimum: 0,
    maximum: MAX_OVERLAP_SECONDS,
    default: 0,
    description: 'Seconds for which the old secret goes on working; 0 ends it at once',
    example: 3600,
  })
  @Omittable()
  @Max(MAX_OVERLAP_SECONDS)
  @Min(0)
  @IsInt() // decorators apply bottom-up: this rule is reported first
  readonly overlap_seconds?: number;
}

export class ApiKeyListRequest extends PageRequest {
  @ApiPropertyOptional({
    ...INSTANT_SCHEMA,
    example: '2030-01-01T00:00:00.000Z',
    description:
      'Only ACTIVE keys that expire before this instant, in RFC 3339: the keys to renew by then. The `+` of an offset is sent as `%2B`',
  })
  @Omittable()
  @IsInstant()
  readonly expires_before?: Date;
}
