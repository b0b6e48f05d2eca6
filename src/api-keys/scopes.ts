import { InvalidScopesError } from './api-keys.errors.js';

/** The pattern of a scope. `ck_api_keys_scopes` and the published document state it. */
export const SCOPE = '^[a-z0-9][a-z0-9._:/-]{0,63}$';
export const MAX_SCOPES = 32;
export const MAX_SCOPE_LENGTH = 64;

/** The scopes of this API, each with the role that can use it. */
export const OWN_SCOPES = {
  'ua:profile:read': 'user',
  'ua:profile:write': 'user',
  'ua:keys:read': 'user',
  'ua:keys:write': 'user',
  'ua:credits:read': 'user',
  'ua:users:read': 'administrator',
  'ua:users:write': 'administrator',
  'ua:users:keys:read': 'administrator',
  'ua:users:keys:write': 'administrator',
  'ua:credits:add': 'administrator',
  'ua:credits:spend': 'administrator',
  'ua:verify': 'administrator',
  'ua:credits:charge': 'administrator',
  'ua:audit:read': 'administrator',
} as const;

export type OwnScope = keyof typeof OWN_SCOPES;

/** The rights of a key: null for everything that its owner may do, or a list of scopes. */
export type Scopes = readonly string[] | null;

const PATTERN = new RegExp(SCOPE);

/**
 * Whether a value is a valid scope: names that begin with `ua:` must be scopes of this API, all
 * others are free.
 */
export const isScope = (value: unknown): value is string =>
  typeof value === 'string' && PATTERN.test(value) && (!value.startsWith('ua:') || value in OWN_SCOPES);

/**
 * The scopes as they are stored: sorted by their bytes and without duplicates.
 *
 * @throws InvalidScopesError
 */
export function checkedScopes(scopes: Scopes): Scopes {
  if (scopes === null) return null;
  if (!Array.isArray(scopes) || !scopes.every(isScope)) throw new InvalidScopesError();
  const unique = [...new Set(scopes as readonly string[])].sort(); // ASCII: UTF-16 order is that of COLLATE "C"
  if (unique.length > MAX_SCOPES) throw new InvalidScopesError();
  return unique;
}

/** Whether a key may use a scope: its scopes and the role of its owner must both allow it. */
export const mayUse = (
  { scopes, isAdmin }: { readonly scopes: Scopes; readonly isAdmin: boolean },
  needed: string,
): boolean =>
  allows(scopes, needed) &&
  (isAdmin || !Object.hasOwn(OWN_SCOPES, needed) || OWN_SCOPES[needed as OwnScope] === 'user');

/** Whether these scopes include the needed scope; null if none is needed. */
export const allows = (scopes: Scopes, needed: string | null): boolean =>
  scopes === null || needed === null || scopes.includes(needed);
