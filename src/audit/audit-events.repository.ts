import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Page, Slice } from '../common/pagination/page.js';
import type { AuditEvent } from './audit-event.entity.js';
import type { AuditAction } from '../common/audit/recording.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { findNewest, type List, NEWEST, NEWEST_OF_ALL } from '../database/list.js';

export interface AuditEventFilter {
  readonly userId?: string | undefined;
  readonly action?: AuditAction | undefined;
}

const COLUMNS = `id, created_at AS "createdAt", action, user_id AS "userId", api_key_id AS "apiKeyId", actor,
  actor_user_id AS "actorUserId", actor_key_id AS "actorKeyId", request_id AS "requestId", changes`;

/** Reads the trail. Whoever changes a row writes it, in the same statement: see `common/audit/recording.ts`. */
@Injectable()
export class AuditEventsRepository {
  constructor(@InjectDatabase() private readonly database: DataSource) {}

  /** The events that the filter lets pass, the newest first. */
  findPage(filter: AuditEventFilter, slice: Slice): Promise<Page<AuditEvent>> {
    return findNewest<AuditEvent>(this.database, { columns: COLUMNS, table: 'audit_events', ...wanted(filter) }, slice);
  }
}

/** Each as the one index for it has it. That of both is of an expression, or the planner might read one of the other two instead. */
function wanted({ userId, action }: AuditEventFilter): Pick<List, 'filter' | 'parameters' | 'order'> {
  if (userId !== undefined && action !== undefined) {
    return { filter: 'user_id::text || action = $1::uuid::text || $2', parameters: [userId, action], order: NEWEST };
  }
  if (userId !== undefined) return { filter: 'user_id = $1', parameters: [userId], order: NEWEST };
  if (action !== undefined) return { filter: 'action = $1', parameters: [action], order: NEWEST };
  return { filter: 'true', parameters: [], order: NEWEST_OF_ALL };
}
