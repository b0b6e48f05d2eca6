import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsInt, IsString, Max, Min } from 'class-validator';
import { ADMINISTRATORS_ONLY } from '../../common/docs/names.js';
import { PageRequest } from '../../common/pagination/page.request.js';
import { Satisfies } from '../../common/validation/satisfies.decorator.js';
import { INSTANT_SCHEMA, IsInstant } from '../../common/validation/instant.decorator.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { API_KEY_NAME, MAX_API_KEY_NAME_LENGTH, MAX_OVERLAP_SECONDS } from '../api-key-rules.js';
import { InvalidScopesError } from '../api-keys.errors.js';
import type { ApiKeyChanges } from '../api-keys.repository.js';
import type { ApiKeyRequest } from '../api-keys.service.js';
import { IsRateLimit, rateLimitSchema } from './rate-limit.decorator.js';
import { isScope, MAX_SCOPE_LENGTH, MAX_SCOPES, SCOPE } from '../scopes.js';

const NAME = {
  pattern: API_KEY_NAME,
  maxLength: MAX_API_KEY_NAME_LENGTH,
  description: 'Unique among the keys of the user, also expired and revoked ones; not "current"',
  example: 'laptop',
};
/** The field is null or a list of scopes. */
const IsScopes = (): PropertyDecorator =>
  Satisfies((value) => value === null || (Array.isArray(value) && value.every(isScope)), new InvalidScopesError());

const EXPIRES_AT = {
  ...INSTANT_SCHEMA,
  description: 'RFC 3339; the first instant at which the key no longer works, in the future',
  example: '2030-01-01T00:00:00.000Z',
};

const SCOPES = {
  type: 'array',
  items: { type: 'string', pattern: SCOPE, maxLength: MAX_SCOPE_LENGTH },
  maxItems: MAX_SCOPES,
  nullable: true,
  description:
    'What the key may do: scopes of this API (`ua:…`) and names of your own, or null for everything that its owner may do. A key with `[]` can be verified, and can read and revoke itself',
  example: ['ua:profile:read', 'jobs:write'],
} as const;

const RATE_LIMIT = {
  ...rateLimitSchema('key'),
  [ADMINISTRATORS_ONLY]: true,
  description:
    'Requests a minute of this key: 0 for no limit of its own; null for the default, or for none of its own where its user has a limit. Only administrators may set it',
} as const;

export class ApiKeyCreate {
  @ApiProperty(NAME)
  @IsString()
  readonly name!: string;

  @ApiProperty(EXPIRES_AT)
  @IsInstant()
  readonly expires_at!: Date;

  /** `ApiKeysService` checks the names; the document repeats the rule. */
  @ApiPropertyOptional({
    ...SCOPES,
    items: { ...SCOPES.items },
    description: `${SCOPES.description}. By default the scopes of the key that makes this request`,
  })
  @Omittable()
  @IsScopes()
  readonly scopes?: readonly string[] | null;

  @ApiPropertyOptional({
    ...RATE_LIMIT,
    description: `${RATE_LIMIT.description}. By default that of the key that makes this request; no higher one is accepted`,
  })
  @Omittable()
  @IsRateLimit('key')
  readonly rate_limit_per_minute?: number | null;
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

  @ApiPropertyOptional({ ...SCOPES, items: { ...SCOPES.items } })
  @Omittable()
  @IsScopes()
  readonly scopes?: readonly string[] | null;

  @ApiPropertyOptional(RATE_LIMIT)
  @Omittable()
  @IsRateLimit('key')
  readonly rate_limit_per_minute?: number | null;
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

/** The fields of a new key, in terms of `ApiKeysService`. */
export const newKeyOf = ({
  name,
  expires_at: expiresAt,
  scopes,
  rate_limit_per_minute: rateLimitPerMinute,
}: ApiKeyCreate): Omit<ApiKeyRequest, 'userId'> => ({ name, expiresAt, scopes, rateLimitPerMinute });

/** The changes of a key, in terms of `ApiKeysService`; absent ones are undefined. */
export const changesOf = ({
  name,
  expires_at: expiresAt,
  scopes,
  rate_limit_per_minute: rateLimitPerMinute,
}: ApiKeyUpdate): ApiKeyChanges => ({ name, expiresAt, scopes, rateLimitPerMinute });
