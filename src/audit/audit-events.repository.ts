import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Page, Slice } from '../common/pagination/page.js';
import type { AuditEvent } from './audit-event.entity.js';
import type { AuditAction } from '../common/audit/recording.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { findNewest, type List, NEWEST, NEWEST_OF_ALL, NEWEST_OF_BOTH } from '../database/list.js';

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
  findPage({ userId, action }: AuditEventFilter, slice: Slice): Promise<Page<AuditEvent>> {
    const filter = '($1::uuid IS NULL OR user_id = $1) AND ($2::text IS NULL OR action = $2)';
    const given = [userId, action].filter((value) => value !== undefined).length;
    const order = ([NEWEST_OF_ALL, NEWEST, NEWEST_OF_BOTH] as const)[given as 0 | 1 | 2];
    const list: List = { columns: COLUMNS, table: 'audit_events', filter, parameters: [userId, action], order };
    return findNewest<AuditEvent>(this.database, list, slice);
  }
}
