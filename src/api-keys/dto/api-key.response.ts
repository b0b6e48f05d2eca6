import { ApiProperty } from '@nestjs/swagger';
import { pageOf } from '../../common/pagination/pagination.response.js';
import type { ApiKeyStatus, KeyView } from '../key-view.js';
import type { KeyWithSecret } from '../api-keys.service.js';

const INSTANT = {
  format: 'date-time',
  description: 'RFC 3339, UTC, milliseconds',
  example: '2026-01-01T09:30:00.000Z',
};

export class ApiKeyResponse {
  @ApiProperty({ format: 'uuid', example: '5f0c2a0e-64bb-4d7e-9a54-0d6f0a2f9b11' })
  readonly id!: string;

  @ApiProperty(INSTANT)
  readonly created_at!: string;

  @ApiProperty({
    ...INSTANT,
    type: String,
    nullable: true,
    description: 'May lag by a minute; null until the first use',
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

  @ApiProperty({ example: 'laptop' })
  readonly name!: string;

  @ApiProperty({ description: 'The first characters of the secret, to recognise it by', example: 'ua_5GhT2' })
  readonly prefix!: string;

  static from(key: KeyView): ApiKeyResponse {
    return {
      id: key.id,
      created_at: key.createdAt.toISOString(),
      last_used_at: key.lastUsedAt?.toISOString() ?? null,
      expires_at: key.expiresAt.toISOString(),
      status: key.status,
      name: key.name,
      prefix: key.prefix,
    };
  }
}

export class ApiKeyWithSecretResponse extends ApiKeyResponse {
  @ApiProperty({
    description: 'The key itself, for the x-api-key header. This answer is the only one that ever holds it.',
    example: 'ua_5GhT2zkxR0pQmB7vYw3LdNc8sJf1EaUo9iXtHnKgS4qD6VrO1AbCd',
  })
  readonly secret!: string;

  static withSecret({ key, secret }: KeyWithSecret): ApiKeyWithSecretResponse {
    return { ...ApiKeyResponse.from(key), secret };
  }
}

export class ApiKeyPage extends pageOf(ApiKeyResponse) {}
