import { Injectable } from '@nestjs/common';
import sql, { type Sql } from 'sql-template-tag';
import { DataSource } from 'typeorm';
import type { Page, PageWindow } from '../common/pagination/page.js';
import type { AuditEvent } from './audit-event.entity.js';
import { ACTOR_COLUMNS } from '../audit-trail/actor-columns.js';
import { AUDIT_ACTIONS, type AuditAction } from '../audit-trail/with-audit.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { type Columns, selectList } from '../database/columns.js';
import { findNewest, NEWEST, NEWEST_NULLS_LAST } from '../database/list.js';

export interface AuditEventFilter {
  readonly userId?: string | undefined;
  readonly action?: AuditAction | undefined;
  /** The key that made the change. */
  readonly actorKeyId?: string | undefined;
}

const COLUMNS = {
  id: 'id',
  createdAt: 'created_at',
  action: 'action',
  userId: 'user_id',
  apiKeyId: 'api_key_id',
  ...ACTOR_COLUMNS,
  changes: 'changes',
} as const satisfies Columns<AuditEvent>;

/**
 * Reads the audit trail. Each change writes its event in its own statement: see
 * `audit-trail/with-audit.ts`.
 */
@Injectable()
export class AuditEventsRepository {
  constructor(@InjectDatabase() private readonly database: DataSource) {}

  /**
   * The events that match the filter, newest first.
   *
   * One index orders the events of each action, another those of each user and action, and the
   * lists of several actions are merged. An index per filter would avoid the merging, but each
   * change of a user would write to each index.
   */
  findPage({ userId, action, actorKeyId }: AuditEventFilter, window: PageWindow): Promise<Page<AuditEvent>> {
    const ofActions = (action === undefined ? AUDIT_ACTIONS : [action]).map((value) => sql`action = ${value}`);
    const list = { columns: selectList(COLUMNS, 'audit_events'), table: 'audit_events' };
    if (actorKeyId === undefined) {
      return userId === undefined
        ? findNewest(this.database, { ...list, filter: sql`true`, parts: ofActions, order: NEWEST }, window)
        : findNewest(
            this.database,
            { ...list, filter: sql`user_id = ${userId}`, parts: ofActions, order: NEWEST_NULLS_LAST },
            window,
          );
    }
    const byKey = sql`actor_key_id = ${actorKeyId}`;
    const filter = userId === undefined ? byKey : sql`${byKey} AND user_id = ${userId}`;
    const parts = ofActions.map((ofAction) => sql`${ofAction} AND ${INDEXED_BY_KEY}`);
    if (action === undefined || action === 'user.updated') parts.push(ownProfile(actorKeyId));
    return findNewest(this.database, { ...list, filter, parts, order: NEWEST_NULLS_LAST }, window);
  }
}

/** The predicate of `ix_audit_events_actor_key_id`. */
const INDEXED_BY_KEY = sql`(action <> 'user.updated' OR user_id <> actor_user_id)`;

/** The other events of a key: changes of the profile of its owner. */
const ownProfile = (keyId: string): Sql =>
  sql`action = 'user.updated' AND user_id = actor_user_id AND user_id = (SELECT user_id FROM api_keys WHERE id = ${keyId})`;
