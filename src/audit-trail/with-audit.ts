import sql, { join, raw, type Sql } from 'sql-template-tag';
import type { Actor } from './actor.js';
import { actorColumnNames, actorValues } from './actor-columns.js';

/**
 * The actions that the constraint `ck_audit_events_action` allows. For rolling deployments, add a
 * new action here and to the constraint one release before any code writes it: an instance lists
 * only the actions that it knows.
 */
export const AUDIT_ACTIONS = [
  'user.created',
  'user.updated',
  'api_key.created',
  'api_key.updated',
  'api_key.rotated',
  'api_key.revoked',
  'user.created_by_import',
  'users.imported',
  'user.erased',
  'audit.archived',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** The columns that `withAudit` reads from each changed row, and returns with it. */
export interface AuditedRow {
  readonly audit_user_id: string;
  readonly audit_api_key_id: string | null;
  readonly audit_changes: Readonly<Record<string, { readonly before?: unknown; readonly after?: unknown }>>;
}

interface Audit {
  /**
   * The actor of all changed rows. If absent, each returned row has its own actor, in the columns
   * of `actorRows`.
   */
  readonly by?: Actor;
  /**
   * The instant of the change, in SQL. The default may be the same for two changes of one row
   * within a millisecond.
   */
  readonly at?: Sql;
  /**
   * Further changes in the same statement, by the names of their CTEs, which may read the changed
   * rows as `changed`.
   */
  readonly also?: Readonly<Record<string, Sql>>;
}

/**
 * A statement that changes rows and records the change in the audit trail, atomically and in one
 * round trip.
 *
 * @param change a data-modifying statement that returns `audit_user_id`, `audit_api_key_id`,
 *   `audit_changes` (from `auditDiff` or `auditSnapshot`; `{}` for no change, and then nothing is
 *   recorded) and the columns that the caller reads
 * @throws InvalidActorError
 */
export function withAudit(action: AuditAction, change: Sql, { by, at = NOW, also = {} }: Audit): Sql {
  const actor = by === undefined ? actorColumnNames : actorValues(by);
  const audited = sql`INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, ${actorColumnNames})
    SELECT ${at}, ${raw(`'${action}'`)}, audit_user_id, audit_api_key_id, audit_changes, ${actor}
      FROM changed
     WHERE audit_changes <> '{}'`;
  const parts = Object.entries({ changed: change, audited, ...also }).map(
    ([name, statement]) => sql`${raw(name)} AS (\n    ${statement})`,
  );
  return sql`WITH ${join(parts, ',\n  ')}\n  SELECT * FROM changed`;
}

const NOW = raw('clock_timestamp()');
/** jsonb of the fields that differ, each with its value before and after, which may be null. */
export const auditDiff = (fields: Readonly<Record<string, readonly [before: string, after: string]>>): Sql =>
  raw(
    Object.entries(fields)
      .map(
        ([name, [before, after]]) =>
          `CASE WHEN ${before} IS DISTINCT FROM ${after} THEN jsonb_build_object('${name}', jsonb_build_object('before', ${before}, 'after', ${after})) ELSE '{}' END`,
      )
      .join('\n        || '),
  );

/** jsonb of the fields of a new row. */
export const auditSnapshot = (fields: Readonly<Record<string, string>>): Sql =>
  raw(
    `jsonb_build_object(${Object.entries(fields)
      .map(([name, value]) => `'${name}', jsonb_build_object('after', ${value})`)
      .join(', ')})`,
  );
