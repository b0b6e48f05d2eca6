import { Injectable } from '@nestjs/common';
import { isRequestId } from '../audit-trail/actor.js';
import { AUDIT_ACTIONS } from '../audit-trail/with-audit.js';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { checkPeriod } from '../common/validation/period.js';
import { isUuid } from '../common/validation/uuid.js';
import type { AuditEvent } from './audit-event.entity.js';
import { InvalidAuditFilterError } from './audit-events.errors.js';
import { type AuditEventFilter, AuditEventsRepository } from './audit-events.repository.js';

/** Reads the audit trail, with the same rules for HTTP and the command line. */
@Injectable()
export class AuditEventsService {
  constructor(private readonly events: AuditEventsRepository) {}

  /**
   * The events that match every given filter, newest first.
   *
   * @throws InvalidAuditFilterError, InvalidPeriodError, InvalidPageWindowError,
   *   PageOutOfReachError, and RequestTimeUnknownError for a request id that needs a further filter
   */
  async list(filter: AuditEventFilter, window: PageWindow): Promise<Page<AuditEvent>> {
    checkFilter(filter);
    return this.events.findPage(filter, window);
  }
}

function checkFilter(filter: AuditEventFilter): void {
  const { userId, action, excludeAction, actorUserId, actorKeyId, apiKeyId, requestId } = filter;
  const ids = { user_id: userId, actor_user_id: actorUserId, actor_key_id: actorKeyId, api_key_id: apiKeyId };
  for (const [name, id] of Object.entries(ids))
    if (id !== undefined && !isUuid(id)) throw new InvalidAuditFilterError(`${name} must be a UUID`);
  for (const [name, value] of Object.entries({ action, exclude_action: excludeAction }))
    if (value !== undefined && !AUDIT_ACTIONS.includes(value))
      throw new InvalidAuditFilterError(`${name} must be one of ${AUDIT_ACTIONS.join(', ')}`);
  if (action !== undefined && action === excludeAction)
    throw new InvalidAuditFilterError('action and exclude_action must differ');
  if (requestId !== undefined && !(isRequestId(requestId) && requestId !== ''))
    throw new InvalidAuditFilterError('request_id must have 1 to 128 characters, and neither NUL nor lone surrogates');
  checkPeriod(filter);
}
