import { ApiProperty } from '@nestjs/swagger';
import { API_KEY_NAME, MAX_API_KEY_NAME_LENGTH } from '../../api-keys/api-key-rules.js';
import { MAX_SCOPE_LENGTH, MAX_SCOPES, SCOPE } from '../../api-keys/scopes.js';
import { INSTANT } from '../../common/docs/schemas.js';
import { EXAMPLE_USER_ID, UUID_SCHEMA } from '../../common/validation/uuid.js';
import { CREDIT_ENTRY_SCHEMAS, CreditEntryResponse } from '../../credits/dto/credit-entry.response.js';
import { HOLD_SCHEMAS, HoldResponse } from '../../credits/holds/dto/hold.response.js';
import type { Verification, VerificationRefusal } from '../verification.service.js';

/** The reasons of a refusal, each with its meaning. */
const REASONS = {
  malformed: 'not of the shape of a key',
  unknown: 'no key has this secret',
  revoked: 'the key has been revoked',
  expired: 'the key has expired',
  superseded: 'a rotation has replaced the secret, and its overlap is over',
  user_inactive: 'the owner is inactive',
  insufficient_scope: 'the key lacks a scope, or its owner the role for one',
  rate_limited: 'the key or its owner has called too often: `retry_after` has the seconds to wait',
  insufficient_credits: 'the owner has fewer credits available than the charge or the hold needs',
} as const satisfies Record<VerificationRefusal, string>;

const nullable = { type: String, nullable: true } as const;

export class VerificationResponse {
  @ApiProperty({ description: 'Whether to serve the call: the only field to decide by', example: true })
  readonly allowed!: boolean;

  @ApiProperty({
    ...nullable,
    enum: [...Object.keys(REASONS), null], // OpenAPI 3.0 asks for null here as well
    description: `Null where it is allowed. ${Object.entries(REASONS)
      .map(([reason, meaning]) => `${reason}: ${meaning}`)
      .join('. ')}`,
    example: null,
  })
  readonly reason!: VerificationRefusal | null;

  @ApiProperty({ ...UUID_SCHEMA, ...nullable, description: 'The owner of the key', example: EXAMPLE_USER_ID })
  readonly user_id!: string | null;

  @ApiProperty({ ...UUID_SCHEMA, ...nullable, description: 'The key', example: '0198c5a2-9d3f-4b8e-8c21-5e7f9a0b3d46' })
  readonly api_key_id!: string | null;

  @ApiProperty({ ...nullable, pattern: API_KEY_NAME, maxLength: MAX_API_KEY_NAME_LENGTH, example: 'laptop' })
  readonly api_key_name!: string | null;

  @ApiProperty({
    type: 'array',
    items: { type: 'string', pattern: SCOPE, maxLength: MAX_SCOPE_LENGTH },
    maxItems: MAX_SCOPES,
    nullable: true,
    description: 'The scopes of the key; for a key that works, null is everything that its owner may do',
    example: ['jobs:write'],
  })
  readonly scopes!: readonly string[] | null;

  @ApiProperty({ ...INSTANT, ...nullable, description: 'The expiry of the key' })
  readonly expires_at!: string | null;

  @ApiProperty({
    ...INSTANT,
    ...nullable,
    description: 'Where a rotation has replaced the secret: until when it works',
    example: null,
  })
  readonly superseded_until!: string | null;

  @ApiProperty({
    type: 'integer',
    format: 'int64',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    nullable: true,
    description:
      'What the owner can spend: the balance without what OPEN holds keep, after the charge or the hold; where nothing was charged or held, when the key was looked up',
    example: 35,
  })
  readonly credits_available!: number | null;

  @ApiProperty({
    type: 'integer',
    format: 'int32',
    minimum: 0,
    maximum: 60,
    nullable: true,
    description: 'Seconds to wait, where `reason` is `rate_limited`',
    example: null,
  })
  readonly retry_after!: number | null;

  /** Not a reference to the schema of an entry: in OpenAPI 3.0 a reference cannot be nullable. */
  @ApiProperty({
    type: 'object',
    properties: CREDIT_ENTRY_SCHEMAS,
    required: Object.keys(CREDIT_ENTRY_SCHEMAS),
    nullable: true,
    description: 'The entry of the charge; null where nothing was charged',
  })
  readonly charge!: CreditEntryResponse | null;

  /** Not a reference, as above. */
  @ApiProperty({
    type: 'object',
    properties: HOLD_SCHEMAS,
    required: Object.keys(HOLD_SCHEMAS),
    nullable: true,
    description: 'The hold, which is OPEN; null where nothing was held',
  })
  readonly hold!: HoldResponse | null;

  @ApiProperty({
    type: Boolean,
    nullable: true,
    description: 'Whether an earlier request made the charge or the hold; null where nothing was charged or held',
    example: false,
  })
  readonly replayed!: boolean | null;

  static from({ allowed, reason, identity, retryAfter, charge, hold, replayed }: Verification): VerificationResponse {
    return {
      allowed,
      reason,
      user_id: identity?.userId ?? null,
      api_key_id: identity?.apiKeyId ?? null,
      api_key_name: identity?.apiKeyName ?? null,
      scopes: identity?.scopes ?? null,
      expires_at: identity?.expiresAt.toISOString() ?? null,
      superseded_until: identity?.supersededUntil?.toISOString() ?? null,
      credits_available: identity?.creditsAvailable ?? null,
      retry_after: retryAfter,
      charge: charge && CreditEntryResponse.from(charge),
      hold: hold && HoldResponse.from(hold),
      replayed,
    };
  }
}
