import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import { EXAMPLE_USER_ID, IsId, UUID_SCHEMA } from '../../common/validation/uuid.js';
import { PageRequest } from '../../common/pagination/page.request.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { AUDIT_ACTIONS, type AuditAction } from '../../audit-trail/with-audit.js';

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
}
