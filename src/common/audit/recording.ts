import { type Actor, checkActor } from './actor.js';

/**
 * The actions that the constraint `ck_audit_events_action` allows. For rolling deployments, add a new action here and to the
 * constraint one release before any code writes it: an instance lists only the actions that it knows.
 */
export const AUDIT_ACTIONS = [
  'user.created',
  'user.updated',
  'api_key.created',
  'api_key.updated',
  'api_key.rotated',
  'api_key.revoked',
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/**
 * SQL for a statement that changes rows and records it in the audit trail, both or neither, in one round trip.
 *
 * @param changing a data-modifying statement that returns `audit_user_id`, `audit_api_key_id`, `audit_changes` (jsonb, built
 * with `changed` or `created`; `{}` for no change, and then nothing is recorded) and whatever else the caller wants
 * @param at the instant of the change; the default may be the same for two changes of one row within a millisecond
 * @param first the number of the first of the four parameters that `actorParameters` fills, or `each` where every changed row
 * brings its own as `actor`, `actor_user_id`, `actor_key_id` and `request_id`
 * @param also statements to run with it, which may read the changed rows as `changed`
 */
export function recorded(
  action: AuditAction,
  changing: string,
  first: number | 'each',
  also: readonly string[] = [],
  at = 'clock_timestamp()',
): string {
  const actor =
    first === 'each'
      ? ['actor', 'actor_user_id', 'actor_key_id', 'request_id']
      : [`$${String(first)}`, ...[1, 2].map((offset) => `$${String(first + offset)}::uuid`), `$${String(first + 3)}`];
  return `WITH changed AS (${changing}), recorded AS (
    INSERT INTO audit_events (created_at, action, user_id, api_key_id, changes, actor, actor_user_id, actor_key_id, request_id)
    SELECT ${at}, '${action}', audit_user_id, audit_api_key_id, audit_changes, ${actor.join(', ')}
      FROM changed WHERE audit_changes <> '{}')
    ${also.map((statement, index) => `, also_${String(index)} AS (${statement})`).join('')}
    SELECT * FROM changed`;
}

/** @throws InvalidActorError */
export function actorParameters(actor: Actor): readonly (string | null)[] {
  checkActor(actor);
  return [actor.type, actor.userId, actor.keyId, actor.requestId];
}

/** jsonb of the fields that differ, each with its value before and after. The expressions must not be null. */
export const changed = (fields: Readonly<Record<string, readonly [before: string, after: string]>>): string =>
  object(
    fields,
    ([before, after]) =>
      `CASE WHEN ${before} <> ${after} THEN jsonb_build_object('before', ${before}, 'after', ${after}) END`,
  );

/** jsonb of the fields of a new row. */
export const created = (fields: Readonly<Record<string, string>>): string =>
  object(fields, (after) => `jsonb_build_object('after', ${after})`);

function object<T>(fields: Readonly<Record<string, T>>, value: (field: T) => string): string {
  return `jsonb_strip_nulls(jsonb_build_object(${Object.entries(fields)
    .map(([name, field]) => `'${name}', ${value(field)}`)
    .join(', ')}))`;
}
