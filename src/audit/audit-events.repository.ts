import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Page, Slice } from '../common/pagination/page.js';
import type { AuditEvent } from './audit-event.entity.js';
import { AUDIT_ACTIONS, type AuditAction } from '../common/audit/recording.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { findNewest, NEWEST, NEWEST_NULLS_LAST } from '../database/list.js';

export interface AuditEventFilter {
  readonly userId?: string | undefined;
  readonly action?: AuditAction | undefined;
}

const COLUMNS = `id, created_at AS "createdAt", action, user_id AS "userId", api_key_id AS "apiKeyId", actor,
  actor_user_id AS "actorUserId", actor_key_id AS "actorKeyId", request_id AS "requestId", changes`;

/** Reads the audit trail. Each change writes its event in its own statement: see `common/audit/recording.ts`. */
@Injectable()
export class AuditEventsRepository {
  constructor(@InjectDatabase() private readonly database: DataSource) {}

  /**
   * The events that match the filter, newest first.
   *
   * One index orders the events of each action, another those of each user and action, and the lists of several actions are
   * merged. An index per filter would avoid the merging, but each change of a user would write to each index.
   */
  findPage({ userId, action }: AuditEventFilter, slice: Slice): Promise<Page<AuditEvent>> {
    const list = {
      columns: COLUMNS,
      table: 'audit_events',
      of: { column: 'action', values: action === undefined ? AUDIT_ACTIONS : [action] },
    };
    return userId === undefined
      ? findNewest(this.database, { ...list, filter: 'true', parameters: [], order: NEWEST }, slice)
      : findNewest(
          this.database,
          { ...list, filter: 'user_id = $1', parameters: [userId], order: NEWEST_NULLS_LAST },
          slice,
        );
  }
}
