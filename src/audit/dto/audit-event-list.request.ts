import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsString, Length } from 'class-validator';
import { MAX_REQUEST_ID_LENGTH } from '../../audit-trail/actor.js';
import { DATE_SCHEMA } from '../../common/validation/period.js';
import { EXAMPLE_USER_ID, IsId, UUID_SCHEMA } from '../../common/validation/uuid.js';
import { PageRequest } from '../../common/pagination/page.request.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { AUDIT_ACTIONS, type AuditAction } from '../../audit-trail/with-audit.js';
import type { AuditEventFilter } from '../audit-events.repository.js';

export class AuditEventListRequest extends PageRequest {
  @ApiPropertyOptional({
    ...UUID_SCHEMA,
    description: 'Only changes of this user and of its keys',
    example: EXAMPLE_USER_ID,
  })
  @Omittable()
  @IsId()
  readonly user_id?: string;

  @ApiPropertyOptional({ enum: AUDIT_ACTIONS, description: 'Only changes of this kind', example: 'user.updated' })
  @Omittable()
  @IsIn(AUDIT_ACTIONS, { message: `action must be one of ${AUDIT_ACTIONS.join(', ')}` })
  readonly action?: AuditAction;

  @ApiPropertyOptional({
    ...UUID_SCHEMA,
    description: 'Only changes that requests with this key made',
    example: '0198c5a2-9d3f-4b8e-8c21-5e7f9a0b3d46',
  })
  @Omittable()
  @IsId()
  readonly actor_key_id?: string;

  @ApiPropertyOptional({
    enum: AUDIT_ACTIONS,
    description: 'All changes but those of this kind, such as the users of imports',
    example: 'user.created_by_import',
  })
  @Omittable()
  @IsIn(AUDIT_ACTIONS, { message: `exclude_action must be one of ${AUDIT_ACTIONS.join(', ')}` })
  readonly exclude_action?: AuditAction;

  @ApiPropertyOptional({
    ...UUID_SCHEMA,
    description: 'Only changes that this user made, with any key',
    example: EXAMPLE_USER_ID,
  })
  @Omittable()
  @IsId()
  readonly actor_user_id?: string;

  @ApiPropertyOptional({
    ...UUID_SCHEMA,
    description: 'Only changes of this key',
    example: '0198c5a2-9d3f-4b8e-8c21-5e7f9a0b3d46',
  })
  @Omittable()
  @IsId()
  readonly api_key_id?: string;

  @ApiPropertyOptional({
    minLength: 1,
    maxLength: MAX_REQUEST_ID_LENGTH,
    pattern: '^[^\\x00]+$',
    description:
      'Only what the request with this `X-Request-Id` changed. An id that the API has made has the time of its request, and is enough; with one that the caller has chosen, add `user_id`, `actor_user_id` or `actor_key_id`, or a `start_date` and an `end_date` that are at most one day apart, unless changes of users are left out. A UUID of version 7 counts as one that the API has made',
    example: '0198c5a2-7b1e-7d21-a3f4-9d8e7c6b5a40',
  })
  @Omittable()
  @Length(1, MAX_REQUEST_ID_LENGTH, { message: 'request_id must have 1 to 128 characters' })
  readonly request_id?: string;

  @ApiPropertyOptional({ ...DATE_SCHEMA, description: 'The first day, in UTC' })
  @Omittable()
  @IsString()
  readonly start_date?: string;

  @ApiPropertyOptional({ ...DATE_SCHEMA, description: 'The last day, in UTC; it belongs to the period' })
  @Omittable()
  @IsString()
  readonly end_date?: string;
}

/** The filter of a list, in terms of `AuditEventsService`. */
export const auditFilterOf = ({
  user_id: userId,
  action,
  exclude_action: excludeAction,
  actor_user_id: actorUserId,
  actor_key_id: actorKeyId,
  api_key_id: apiKeyId,
  request_id: requestId,
  start_date: startDate,
  end_date: endDate,
}: AuditEventListRequest): AuditEventFilter => ({
  userId,
  action,
  excludeAction,
  actorUserId,
  actorKeyId,
  apiKeyId,
  requestId,
  startDate,
  endDate,
});
