import { Injectable } from '@nestjs/common';
import sql, { join, type Sql } from 'sql-template-tag';
import { DataSource } from 'typeorm';
import type { Page, PageWindow } from '../common/pagination/page.js';
import { timeOf } from '../common/time-ordered-uuid.js';
import { isInstant } from '../common/validation/date.js';
import type { Period } from '../common/validation/period.js';
import type { AuditEvent } from './audit-event.entity.js';
import { RequestTimeUnknownError } from './audit-events.errors.js';
import { ACTOR_COLUMNS } from '../audit-trail/actor-columns.js';
import { AUDIT_ACTIONS, type AuditAction } from '../audit-trail/with-audit.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { type Columns, selectList } from '../database/columns.js';
import { findNewest, NEWEST, NEWEST_NULLS_LAST } from '../database/list.js';
import { createdWithin } from '../database/period.js';

export interface AuditEventFilter extends Period {
  readonly userId?: string | undefined;
  readonly action?: AuditAction | undefined;
  /** All events except those of this action. */
  readonly excludeAction?: AuditAction | undefined;
  /** The user who made the change. */
  readonly actorUserId?: string | undefined;
  /** The key that made the change. */
  readonly actorKeyId?: string | undefined;
  /** The key that changed. */
  readonly apiKeyId?: string | undefined;
  readonly requestId?: string | undefined;
}

export const AUDIT_EVENT_COLUMNS = {
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
   * The events that match every given filter, newest first.
   *
   * One index orders the events of each action, another those of each user and action, and the
   * lists of several actions are merged. An index per filter would avoid the merging, but each
   * change of a user would write to each index. The indexes of the other filters leave out users
   * who change their own profile, the most frequent change; those events are found by their user.
   *
   * @throws RequestTimeUnknownError
   */
  async findPage(filter: AuditEventFilter, window: PageWindow): Promise<Page<AuditEvent>> {
    const { order, parts } = partsOf(filter);
    const conditions = conditionsOf(filter);
    const list = {
      columns: selectList(AUDIT_EVENT_COLUMNS, 'audit_events'),
      table: 'audit_events',
      filter: conditions.length === 0 ? sql`true` : join(conditions, ' AND '),
      parts,
      order,
    };
    return findNewest(this.database, list, window);
  }
}

/** The conditions on every event of a list, except on its action. */
function conditionsOf({ actorKeyId, actorUserId, apiKeyId, requestId, userId, ...period }: AuditEventFilter): Sql[] {
  const equal = [
    [sql`actor_key_id`, actorKeyId],
    [sql`actor_user_id`, actorUserId],
    [sql`api_key_id`, apiKeyId],
    [sql`request_id`, requestId],
    [sql`user_id`, userId],
  ] as const;
  return [
    ...equal.flatMap(([column, value]) => (value === undefined ? [] : [sql`${column} = ${value}`])),
    ...createdWithin(period),
  ];
}

/** The lists that an index can return in order. Each requested event is in exactly one of them. */
function partsOf(filter: AuditEventFilter): { readonly order: Sql; readonly parts: readonly Sql[] } {
  const { action, excludeAction, actorKeyId, actorUserId, apiKeyId, requestId, userId } = filter;
  const actions = AUDIT_ACTIONS.filter((each) => (action ?? each) === each && each !== excludeAction);
  const hasOwnProfile = actions.includes('user.updated') && apiKeyId === undefined;
  if (requestId !== undefined)
    return {
      order: NEWEST_NULLS_LAST,
      parts: [
        sql`action = ANY (${actions}) AND ${INDEXED_BY_REQUEST}`,
        ...(hasOwnProfile ? [ownProfileByRequest(filter, requestId)] : []),
      ],
    };
  if (apiKeyId !== undefined) return { order: NEWEST_NULLS_LAST, parts: [sql`action = ANY (${actions})`] };
  const ofActions = actions.map((value) => sql`action = ${value}`);
  if (actorKeyId === undefined && actorUserId === undefined)
    return { order: userId === undefined ? NEWEST : NEWEST_NULLS_LAST, parts: ofActions };
  return {
    order: NEWEST_NULLS_LAST,
    parts: [
      ...ofActions.map((ofAction) => sql`${ofAction} AND ${INDEXED_BY_ACTOR}`),
      ...(hasOwnProfile ? [sql`${OWN_PROFILE} AND user_id = ${actorOf(filter)}`] : []),
    ],
  };
}

/** The predicate of `ix_audit_events_actor_key_id` and `ix_audit_events_actor_user_id`. */
const INDEXED_BY_ACTOR = sql`(action <> 'user.updated' OR user_id <> actor_user_id)`;

/** The predicate of `ix_audit_events_request_id`. */
const INDEXED_BY_REQUEST = sql`(action <> 'user.updated' OR user_id IS DISTINCT FROM actor_user_id)`;

/** The other events: changes that users make to their own profile. */
const OWN_PROFILE = sql`action = 'user.updated' AND user_id = actor_user_id`;

/** The user who made a change: the given user, or the owner of the given key. */
const actorOf = ({ actorUserId, actorKeyId }: AuditEventFilter): Sql =>
  actorUserId === undefined ? sql`(SELECT user_id FROM api_keys WHERE id = ${actorKeyId})` : sql`${actorUserId}`;

/**
 * The tolerated difference between the clocks of the instances and of the database, in
 * milliseconds.
 */
const CLOCK_DIFFERENCE = 60_000;

/**
 * The changes of an own profile by one request, found by the user, or by the minutes around the
 * request: its id contains the time unless the caller chose the id.
 */
function ownProfileByRequest(filter: AuditEventFilter, requestId: string): Sql {
  const { actorKeyId, actorUserId, userId } = filter;
  if (actorUserId !== undefined || actorKeyId !== undefined)
    return sql`${OWN_PROFILE} AND user_id = ${actorOf(filter)}`;
  if (userId !== undefined || isShort(filter)) return OWN_PROFILE;
  const time = timeOf(requestId)?.getTime();
  const [from, to] = [-1, 1].map((sign) => new Date((time ?? NaN) + sign * CLOCK_DIFFERENCE));
  if (!isInstant(from) || !isInstant(to)) throw new RequestTimeUnknownError();
  return sql`${OWN_PROFILE} AND created_at BETWEEN ${from} AND ${to}`;
}

const DAY = 86_400_000;

/** Whether a period has two days at most. */
const isShort = ({ startDate, endDate }: Period): boolean =>
  startDate !== undefined && endDate !== undefined && Date.parse(endDate) - Date.parse(startDate) <= DAY;
