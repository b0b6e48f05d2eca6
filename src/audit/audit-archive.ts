import { Injectable } from '@nestjs/common';
import sql, { empty, join, type Sql } from 'sql-template-tag';
import { DataSource } from 'typeorm';
import type { Actor } from '../audit-trail/actor.js';
import { actorColumnNames, actorValues } from '../audit-trail/actor-columns.js';
import { AUDIT_ACTIONS } from '../audit-trail/with-audit.js';
import { OperatorError } from '../common/errors/operator.error.js';
import type { Cursor } from '../common/pagination/cursor.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { AuditTrailLockedError } from '../database/audit-trail-locked.error.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { selectList } from '../database/columns.js';
import { longTransaction } from '../database/long-transaction.js';
import { NO_TIMEOUTS_OR_IDLE_TIMEOUT } from '../database/without-timeouts.js';
import { refuseOthersThanOwner } from '../database/privileges.js';
import { query } from '../database/query.js';
import { isLockTimeout } from '../database/retry.js';
import { firstOf } from '../database/statement.js';
import type { AuditEvent } from './audit-event.entity.js';
import { AUDIT_EVENT_COLUMNS } from './audit-events.repository.js';

/** Maximum number of events that one query reads, or one transaction removes. */
export const SLICE = 5_000;

/** An archive: a file of events. */
export interface ArchivedEvents {
  /** The name of the file, without its directory. */
  readonly file: string;
  /** The file contains the events before this instant. */
  readonly before: Date;
  readonly count: number;
  /** The instants of the first and the last event. */
  readonly first: Date;
  readonly last: Date;
  /** SHA-256 of the whole file, in hexadecimal. */
  readonly sha256: string;
}

/** Another command is archiving: two at once would write the same events to two files. */
export class ArchivingError extends OperatorError {
  constructor() {
    super('Another command archives audit events at this moment. Run this one again when it has ended.');
  }
}

/** Events that record archives stay, so that the audit trail itself shows what was removed. */
const REMOVABLE = AUDIT_ACTIONS.filter((action) => action !== 'audit.archived');

/** The greatest UUID. */
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

const recordOf = (sha256: string): Sql =>
  sql`SELECT id, changes FROM audit_events WHERE action = 'audit.archived' AND changes -> 'sha256' ->> 'after' = ${sha256}`;

@Injectable()
export class AuditArchive {
  constructor(@InjectDatabase() private readonly database: DataSource) {}

  /**
   * Runs work while no other process archives events.
   *
   * @throws MissingPrivilegesError for every role except the owner of the tables, ArchivingError
   */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    await refuseOthersThanOwner(this.database, 'audit_events');
    return this.database.transaction(async (manager) => {
      await manager.query(NO_TIMEOUTS_OR_IDLE_TIMEOUT);
      const lock = await query<{ locked: boolean }>(
        manager,
        sql`SELECT pg_try_advisory_xact_lock(${ADVISORY_LOCKS.auditArchive}) AS locked`,
      );
      if (!firstOf(lock).locked) throw new ArchivingError();
      return work();
    });
  }

  /**
   * The oldest events before an instant, except those that record archives: at most `SLICE`.
   *
   * @param after continues after this event
   */
  findOldest(before: Date, after: Cursor | null): Promise<AuditEvent[]> {
    const start = after ? sql` AND (created_at, id) > (${after.createdAt}, ${after.id})` : empty;
    const ofActions = REMOVABLE.map(
      (action) =>
        sql`(SELECT * FROM audit_events WHERE action = ${action} AND created_at < ${before}${start} ORDER BY created_at, id LIMIT ${SLICE})`,
    );
    return longTransaction(this.database, (manager) =>
      query<AuditEvent>(
        manager,
        sql`SELECT ${selectList(AUDIT_EVENT_COLUMNS, 'audit_events')}
  FROM (${join(ofActions, '\n        UNION ALL ')}) AS audit_events
 ORDER BY created_at, id
 LIMIT ${SLICE}`,
      ),
    );
  }

  /** Whether there are events after one instant and before another, but for those of archives. */
  async hasEvents(after: Date, before: Date): Promise<boolean> {
    return (await this.findOldest(before, { createdAt: after, id: LAST_ID })).length > 0;
  }

  /** Whether an event records an archive of this content. */
  async isRecorded(sha256: string): Promise<boolean> {
    return (await query(this.database, recordOf(sha256))).length > 0;
  }

  /**
   * Records an archive as an event, before the archived events are removed. Safe to repeat: an
   * archive with the same content is recorded once.
   *
   * @returns the id of the event, and the `before` of the archive that it records
   */
  async record(archive: ArchivedEvents, by: Actor): Promise<{ readonly id: string; readonly before: Date }> {
    const changes = Object.fromEntries(
      Object.entries(archive).map(([name, after]) => [name, { after: after as unknown }]),
    );
    const { sha256 } = archive;
    const rows = await query<{ id: string; before: Date }>(
      this.database,
      sql`WITH found AS (
    ${recordOf(sha256)}),
  recorded AS (
    INSERT INTO audit_events (action, changes, ${actorColumnNames})
    SELECT 'audit.archived', ${JSON.stringify(changes)}::jsonb, ${actorValues(by)}
     WHERE NOT EXISTS (SELECT FROM found)
    RETURNING id, changes)
  SELECT id, (changes -> 'before' ->> 'after')::timestamptz AS before
    FROM (TABLE found UNION ALL TABLE recorded) AS archive`,
    );
    return firstOf(rows);
  }

  /**
   * Removes archived events in one transaction, during which changes of users and keys wait. Safe
   * to repeat.
   *
   * @param archive the id of the event that records the archive
   * @param ids at most `SLICE`
   * @returns the number of events that were still stored
   * @throws AuditTrailLockedError, and then no event is removed
   */
  async remove(archive: string, ids: readonly string[]): Promise<number> {
    const statement = sql`SELECT remove_archived_events(${archive}, ${ids}::uuid[]) AS removed`;
    try {
      const rows = await longTransaction(this.database, (manager) => query<{ removed: number }>(manager, statement));
      return firstOf(rows).removed;
    } catch (error) {
      throw isLockTimeout(error) ? new AuditTrailLockedError() : error;
    }
  }
}
