import { ApiProperty } from '@nestjs/swagger';
import { ArrayMaxSize, ArrayMinSize, IsArray, IsString } from 'class-validator';
import { EXAMPLE_KEY } from '../../common/docs/key-prefixes.js';

const MAX_KEYS = 100;

export class LeakedKeys {
  @ApiProperty({
    type: [String],
    minItems: 1,
    maxItems: MAX_KEYS,
    items: { type: 'string', maxLength: 16_384 },
    description: 'The leaked secrets. A text that is no secret is answered as `unknown`',
    example: [EXAMPLE_KEY],
  })
  @IsString({ each: true, message: 'keys must be texts' })
  @ArrayMaxSize(MAX_KEYS)
  @ArrayMinSize(1)
  @IsArray()
  readonly keys!: readonly string[];
}
