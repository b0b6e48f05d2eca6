import { ApiProperty } from '@nestjs/swagger';
import { ArrayMaxSize, ArrayMinSize, IsArray, IsString } from 'class-validator';

const MAX_KEYS = 100;

export class LeakedKeys {
  @ApiProperty({
    type: [String],
    minItems: 1,
    maxItems: MAX_KEYS,
    items: { type: 'string', maxLength: 16_384 },
    description: 'The leaked secrets. A text that is no secret is answered as `unknown`',
    example: ['ua_5GhT2zkxR0pQmB7vYw3LdNc8sJf1EaUo9iXtHnKgS4qD6Vr0A'],
  })
  @IsString({ each: true, message: 'keys must be texts' })
  @ArrayMaxSize(MAX_KEYS)
  @ArrayMinSize(1)
  @IsArray()
  readonly keys!: readonly string[];
}
