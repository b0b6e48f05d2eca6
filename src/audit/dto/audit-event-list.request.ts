import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import { IsId } from '../../common/validation/uuid.js';
import { PageRequest } from '../../common/pagination/page.request.js';
import { Omittable } from '../../common/validation/omittable.decorator.js';
import { AUDIT_ACTIONS, type AuditAction } from '../../audit-trail/with-audit.js';

export class AuditEventListRequest extends PageRequest {
  @ApiPropertyOptional({ format: 'uuid', description: 'Only changes of this user and of its keys' })
  @Omittable()
  @IsId()
  readonly user_id?: string;

  @ApiPropertyOptional({ enum: AUDIT_ACTIONS })
  @Omittable()
  @IsIn(AUDIT_ACTIONS, { message: `action must be one of ${AUDIT_ACTIONS.join(', ')}` })
  readonly action?: AuditAction;
}
