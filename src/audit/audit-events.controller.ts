import { Get, Query, Req } from '@nestjs/common';
import type { Request } from 'express';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import { PAGE_HEADERS } from '../common/docs/responses.js';
import { ApiTag } from '../common/docs/tags.js';
import { INVALID_PAGE } from '../common/pagination/page.request.js';
import { pageWindowOf } from '../common/pagination/page.js';
import { paginated } from '../common/pagination/paginated.js';
import { InvalidPeriodError } from '../common/validation/period.js';
import { InvalidRequestError } from '../common/validation/request-validation.js';
import { InvalidAuditFilterError, RequestTimeUnknownError } from './audit-events.errors.js';
import { AuditEventsService } from './audit-events.service.js';
import { auditFilterOf, AuditEventListRequest } from './dto/audit-event-list.request.js';
import { AuditEventPage, AuditEventResponse } from './dto/audit-event.response.js';

@ApiTag('Administration')
@ApiController('audit-events')
export class AuditEventsController {
  constructor(private readonly events: AuditEventsService) {}

  @Get()
  @Operation({
    id: 'listAuditEvents',
    summary: 'List changes of users and API keys, the newest first',
    details:
      'Each event tells who changed what, from which value to which, when, and by which request. Filters by the user or key that changed (`user_id`, `api_key_id`), by who made the change (`actor_user_id`, `actor_key_id`), by `request_id`, by `action` or by all but one (`exclude_action`), and by inclusive UTC dates; all that are given must hold. An import is one event, `users.imported` with the number of users, and one `user.created_by_import` for each of them. To read every event once while others are added, follow the `Link` header.',
    access: 'administrator',
    scope: 'ua:audit:read',
    query: AuditEventListRequest,
    returns: AuditEventPage,
    description: 'One page of the audit trail',
    headers: PAGE_HEADERS,
    examples: {
      user_id: new InvalidRequestError('user_id must be a UUID'),
      request_id: new RequestTimeUnknownError(),
      exclude_action: new InvalidAuditFilterError('action and exclude_action must differ'),
      period: new InvalidPeriodError(),
      ...INVALID_PAGE,
    },
  })
  async list(@Query() query: AuditEventListRequest, @Req() request: Request): Promise<AuditEventPage> {
    const page = await this.events.list(auditFilterOf(query), pageWindowOf(query));
    return paginated(page, query, (event) => AuditEventResponse.from(event), request);
  }
}
