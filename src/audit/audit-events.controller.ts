import { Controller, Get, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';
import { Administrators } from '../api-keys/authenticated.decorator.js';
import { Documented, NEXT_PAGE } from '../common/docs/documented.decorator.js';
import { paginated, sliceOf } from '../common/pagination/page.js';
import { AuditEventsRepository } from './audit-events.repository.js';
import { AuditEventListRequest } from './dto/audit-event-list.request.js';
import { AuditEventPage, AuditEventResponse } from './dto/audit-event.response.js';

@ApiTags('Administration')
@Administrators()
@Controller({ path: 'audit-events', version: '1' })
export class AuditEventsController {
  constructor(private readonly events: AuditEventsRepository) {}

  @Get()
  @Documented({
    id: 'listAuditEvents',
    summary: 'List changes of users and API keys, the newest first',
    returns: AuditEventPage,
    description: 'One page of the audit trail',
    headers: NEXT_PAGE,
    fails: ['invalid'],
  })
  async list(@Query() query: AuditEventListRequest, @Req() request: Request): Promise<AuditEventPage> {
    const page = await this.events.findPage({ userId: query.user_id, action: query.action }, sliceOf(query));
    return paginated(page, query, (event) => AuditEventResponse.from(event), request);
  }
}
