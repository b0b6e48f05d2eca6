import { ApiProperty } from '@nestjs/swagger';
import { INSTANT } from '../../common/docs/schemas.js';
import { EXAMPLE_USER_ID, UUID_SCHEMA } from '../../common/validation/uuid.js';
import { pageOf } from '../../common/pagination/pagination.response.js';
import { ACTOR_TYPES, type Actor } from '../../audit-trail/actor.js';
import type { AuditEvent } from '../audit-event.entity.js';
import { AUDIT_ACTIONS, type AuditAction } from '../../audit-trail/with-audit.js';

const ID = { ...UUID_SCHEMA, example: EXAMPLE_USER_ID };

export class AuditEventResponse {
  @ApiProperty(ID)
  readonly id!: string;

  @ApiProperty(INSTANT)
  readonly created_at!: string;

  @ApiProperty({ enum: AUDIT_ACTIONS, example: 'user.updated' })
  readonly action!: AuditAction;

  @ApiProperty({
    ...ID,
    type: String,
    nullable: true,
    description: 'The user that changed, or whose key did; null for `users.imported` and `audit.archived`',
  })
  readonly user_id!: string | null;

  @ApiProperty({
    ...ID,
    type: String,
    nullable: true,
    description: 'The key that changed, if it was one',
    example: null,
  })
  readonly api_key_id!: string | null;

  @ApiProperty({
    enum: ACTOR_TYPES,
    example: 'API_KEY',
    description:
      'Through what the change was made: a request with a key, the command line, or an application that contains this API',
  })
  readonly actor!: Actor['type'];

  @ApiProperty({ ...ID, type: String, nullable: true, description: 'The user who made the change, if it was one' })
  readonly actor_user_id!: string | null;

  @ApiProperty({
    ...ID,
    type: String,
    nullable: true,
    description: 'The key that the change was made with, if it was one',
  })
  readonly actor_key_id!: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    maxLength: 128,
    description: 'The X-Request-Id of the change',
    example: 'a1b2c3',
  })
  readonly request_id!: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    maxLength: 128,
    description: 'The account on the machine that ran the command, where a command made the change',
    example: null,
  })
  readonly actor_account!: string | null;

  @ApiProperty({
    type: 'object',
    maxProperties: 20,
    additionalProperties: { type: 'object', properties: { before: {}, after: {} } },
    description:
      'The fields that changed, with their values before and after; never a secret. `*` for `scopes` stands for null',
    example: { name: { before: 'Ada', after: 'Ada Lovelace' } },
  })
  readonly changes!: AuditEvent['changes'];

  static from(event: AuditEvent): AuditEventResponse {
    return {
      id: event.id,
      created_at: event.createdAt.toISOString(),
      action: event.action,
      user_id: event.userId,
      api_key_id: event.apiKeyId,
      actor: event.actor,
      actor_user_id: event.actorUserId,
      actor_key_id: event.actorKeyId,
      request_id: event.requestId,
      actor_account: event.actorAccount,
      changes: event.changes,
    };
  }
}

export class AuditEventPage extends pageOf(AuditEventResponse) {}
