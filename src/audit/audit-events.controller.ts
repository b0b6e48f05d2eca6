import { Get, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import { NEXT_PAGE } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { INVALID_PAGE } from '../common/pagination/page.request.js';
import { pageWindowOf } from '../common/pagination/page.js';
import { paginated } from '../common/pagination/paginated.js';
import { InvalidRequestError } from '../common/validation/request-validation.js';
import { AuditEventsRepository } from './audit-events.repository.js';
import { AuditEventListRequest } from './dto/audit-event-list.request.js';
import { AuditEventPage, AuditEventResponse } from './dto/audit-event.response.js';

@ApiTag('Administration')
@ApiController('audit-events')
export class AuditEventsController {
  constructor(private readonly events: AuditEventsRepository) {}

  @Get()
  @Operation({
    id: 'listAuditEvents',
    summary: 'List changes of users and API keys, the newest first',
    details:
      'Each event tells who changed what, from which value to which, when, and by which request. Filters by `user_id`, `action` and `actor_key_id`, the key that made the change. To read every event once while others are added, follow the `Link` header.',
    access: 'administrator',
    scope: 'ua:audit:read',
    query: AuditEventListRequest,
    returns: AuditEventPage,
    description: 'One page of the audit trail',
    headers: NEXT_PAGE,
    examples: {
      user_id: new InvalidRequestError('user_id must be a UUID'),
      ...INVALID_PAGE,
    },
  })
  async list(@Query() query: AuditEventListRequest, @Req() request: Request): Promise<AuditEventPage> {
    const { user_id: userId, action, actor_key_id: actorKeyId } = query;
    const page = await this.events.findPage({ userId, action, actorKeyId }, pageWindowOf(query));
    return paginated(page, query, (event) => AuditEventResponse.from(event), request);
  }
}
