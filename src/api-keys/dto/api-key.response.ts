import { ApiProperty } from '@nestjs/swagger';
import { MAX_API_KEY_LENGTH, MAX_VISIBLE_LENGTH, VISIBLE_PART } from '../../common/api-key-format.js';
import { EXAMPLE_KEY, EXAMPLE_VISIBLE_PART, KEY_PATTERN } from '../../common/docs/key-prefixes.js';
import { INSTANT } from '../../common/docs/schemas.js';
import { pageOf } from '../../common/pagination/pagination.response.js';
import type { ApiKeyStatus, KeyView } from '../key-view.js';
import { API_KEY_NAME, MAX_API_KEY_NAME_LENGTH } from '../api-key-rules.js';
import type { KeyWithSecret } from '../api-keys.service.js';
import { rateLimitSchema } from './rate-limit.decorator.js';
import { MAX_SCOPE_LENGTH, MAX_SCOPES, SCOPE } from '../scopes.js';
import { UUID_SCHEMA } from '../../common/validation/uuid.js';

export class ApiKeyResponse {
  @ApiProperty({ ...UUID_SCHEMA, example: '5f0c2a0e-64bb-4d7e-9a54-0d6f0a2f9b11' })
  readonly id!: string;

  @ApiProperty(INSTANT)
  readonly created_at!: string;

  @ApiProperty({
    ...INSTANT,
    type: String,
    nullable: true,
    description: 'When the key was last used, up to a minute late; null if no use has been recorded',
  })
  readonly last_used_at!: string | null;

  @ApiProperty({
    ...INSTANT,
    description: 'The first instant at which the key no longer works',
    example: '2027-01-01T00:00:00.000Z',
  })
  readonly expires_at!: string;

  @ApiProperty({ enum: ['ACTIVE', 'EXPIRED', 'REVOKED'], example: 'ACTIVE' })
  readonly status!: ApiKeyStatus;

  @ApiProperty({ pattern: API_KEY_NAME, maxLength: MAX_API_KEY_NAME_LENGTH, example: 'laptop' })
  readonly name!: string;

  @ApiProperty({
    pattern: VISIBLE_PART,
    maxLength: MAX_VISIBLE_LENGTH,
    description: 'The first characters of the secret, to recognize it by: its prefix and five more',
    example: EXAMPLE_VISIBLE_PART,
  })
  readonly prefix!: string;

  @ApiProperty({
    type: 'array',
    items: { type: 'string', pattern: SCOPE, maxLength: MAX_SCOPE_LENGTH },
    maxItems: MAX_SCOPES,
    nullable: true,
    description: 'What the key may do, sorted; null for everything that its owner may do',
    example: ['jobs:write', 'ua:profile:read'],
  })
  readonly scopes!: readonly string[] | null;

  @ApiProperty({
    ...rateLimitSchema('key'),
    description:
      'Requests a minute of this key: 0 for no limit of its own; null for the default, or for none of its own where its user has a limit',
  })
  readonly rate_limit_per_minute!: number | null;

  static from(key: KeyView): ApiKeyResponse {
    return {
      id: key.id,
      created_at: key.createdAt.toISOString(),
      last_used_at: key.lastUsedAt?.toISOString() ?? null,
      expires_at: key.expiresAt.toISOString(),
      status: key.status,
      name: key.name,
      prefix: key.prefix,
      scopes: key.scopes,
      rate_limit_per_minute: key.rateLimitPerMinute,
    };
  }
}

export class ApiKeyWithSecretResponse extends ApiKeyResponse {
  @ApiProperty({
    pattern: KEY_PATTERN,
    maxLength: MAX_API_KEY_LENGTH,
    description: 'The key itself, for the x-api-key header. No other response contains it.',
    example: EXAMPLE_KEY,
  })
  readonly secret!: string;

  static withSecret({ key, secret }: KeyWithSecret): ApiKeyWithSecretResponse {
    return { ...ApiKeyResponse.from(key), secret };
  }
}

export class ApiKeyPage extends pageOf(ApiKeyResponse) {}
