import sql, { type Sql } from 'sql-template-tag';
import type { Actor } from '../audit-trail/actor.js';
import { MissingScopesError, SupersededSecretError } from './api-keys.errors.js';
import { keyBudget } from './rate-limit-rules.js';
import type { Scopes } from './scopes.js';

/*
 * Limits for callers: with a key that has scopes, a caller may create, change and rotate only keys
 * whose scopes, before and after, are among those of its own key, and that do not outlive its own
 * key. The scopes of the caller are those at its authentication; those of the changed key are read
 * under its lock. Regardless of scopes, no key may create a key with a higher rate limit than its
 * own, and only administrators may set limits.
 */

/** The rule for a key with these scopes and this expiry, in SQL. A null column is not within. */
export const isWithinSql = ({ scopes: own, keyExpiresAt }: Actor, scopes: Sql, expiresAt: Sql): Sql =>
  own ? sql`(${scopes} <@ ${own}::text[] AND ${expiresAt} <= ${keyExpiresAt}::timestamptz)` : sql`true`;

/** The same rule for known values. */
export const isWithin = ({ scopes: own, keyExpiresAt }: Actor, scopes: Scopes, expiresAt: Date): boolean =>
  !own ||
  (scopes !== null &&
    scopes.every((scope) => own.includes(scope)) &&
    keyExpiresAt !== undefined &&
    expiresAt.getTime() <= keyExpiresAt.getTime());

/**
 * The scopes of a new key if none are given: those of the caller.
 *
 * @throws MissingScopesError for a key of another user if the caller has scopes
 */
export function inheritedScopes({ scopes, userId }: Actor, ownerId: string): Scopes {
  if (scopes && userId !== ownerId.toLowerCase()) throw new MissingScopesError();
  return scopes ?? null;
}

/** Administrators, the command line and the application itself may set rate limits. */
export const maySetRateLimit = ({ type, isAdmin }: Actor): boolean => type !== 'API_KEY' || isAdmin === true;

/**
 * The stored rate limit of a new key if none is given: that of the caller's key. 0 is not
 * inherited: an exemption must be given to each key separately.
 */
export const inheritedRateLimit = ({ keyRateLimitPerMinute: own }: Actor): number | null =>
  own === undefined || own === 0 ? null : own;

/**
 * Whether a stored rate limit is no higher than that of the caller's key. Null, which follows the
 * default, is no higher than null and 0. A number is compared with the limit that applies to the
 * caller's key at this moment; 0 is higher than every number.
 */
export const isRateLimitWithin = (
  { type, keyRateLimitPerMinute: own = null, userRateLimitPerMinute: shared = null }: Actor,
  rateLimit: number | null,
  defaultLimit: number,
): boolean => {
  if (type !== 'API_KEY') return true;
  if (rateLimit === null) return !own;
  const budget = keyBudget({ keyRateLimitPerMinute: own, userRateLimitPerMinute: shared }, defaultLimit);
  return (rateLimit || Infinity) <= budget;
};

/** @throws SupersededSecretError */
export function refuseSuperseded({ superseded }: Actor): void {
  if (superseded) throw new SupersededSecretError();
}
