import sql, { type Sql } from 'sql-template-tag';
import type { Actor } from '../audit-trail/actor.js';
import { MissingScopesError, SupersededSecretError } from './api-keys.errors.js';
import type { Scopes } from './scopes.js';

/*
 * What a caller whose key has scopes may do with keys: create, change and rotate only those whose
 * scopes, before and after, are among its own, and that do not outlive its own. The scopes of the
 * caller are those of its lookup; those of the key are read under its lock.
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
 * The scopes of a new key that names none: those of the caller.
 *
 * @throws MissingScopesError for a key of another user, where the caller has scopes
 */
export function inheritedScopes({ scopes, userId }: Actor, ownerId: string): Scopes {
  if (scopes && userId !== ownerId.toLowerCase()) throw new MissingScopesError();
  return scopes ?? null;
}

/** @throws SupersededSecretError */
export function refuseSuperseded({ superseded }: Actor): void {
  if (superseded) throw new SupersededSecretError();
}
