import { ApiProperty } from '@nestjs/swagger';
import { MAX_VISIBLE_LENGTH, VISIBLE_PART } from '../../common/api-key-format.js';
import { EXAMPLE_VISIBLE_PART } from '../../common/docs/key-prefixes.js';
import { nameSchemas } from '../../common/docs/names.js';
import { UUID_SCHEMA } from '../../common/validation/uuid.js';
import { API_KEY_NAME, MAX_API_KEY_NAME_LENGTH } from '../api-key-rules.js';
import type { LeakedSecret } from '../leaked-secrets.service.js';

const OUTCOMES = ['revoked', 'already_ended', 'unknown'] as const;

export class LeakedKeyResponse {
  @ApiProperty({
    enum: OUTCOMES,
    description: 'revoked: by this request. already_ended: it did not work any more. unknown: no key has this secret',
    example: 'revoked',
  })
  readonly outcome!: (typeof OUTCOMES)[number];

  @ApiProperty({
    type: String,
    nullable: true,
    pattern: VISIBLE_PART,
    maxLength: MAX_VISIBLE_LENGTH,
    description: 'The first characters of the secret; null for a text that is no secret',
    example: EXAMPLE_VISIBLE_PART,
  })
  readonly prefix!: string | null;

  @ApiProperty({
    ...UUID_SCHEMA,
    type: String,
    nullable: true,
    description: 'The owner of the key; null for an unknown one',
    example: '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90',
  })
  readonly user_id!: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    pattern: API_KEY_NAME,
    maxLength: MAX_API_KEY_NAME_LENGTH,
    description: 'null for an unknown one',
    example: 'laptop',
  })
  readonly api_key_name!: string | null;
}

nameSchemas(LeakedKeyResponse);

export class LeakedKeysResponse {
  @ApiProperty({
    type: [LeakedKeyResponse],
    maxItems: 100,
    description: 'One for each key of the request, in its order',
  })
  readonly results!: LeakedKeyResponse[];

  static from(results: readonly LeakedSecret[]): LeakedKeysResponse {
    return {
      results: results.map(({ outcome, prefix, userId, name }) => ({
        outcome,
        prefix,
        user_id: userId,
        api_key_name: name,
      })),
    };
  }
}
