import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { requestOf } from './api-key.guard.js';
import { MissingApiKeyError } from './api-keys.errors.js';
import type { Principal } from './principal.js';

/* For tests of host applications, which then need no database. */

/** A caller with the given fields, and with ordinary values for all others. */
export const principal = (fields: Partial<Principal> = {}): Principal => ({
  type: 'API_KEY',
  userId: '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90',
  keyId: '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c91',
  keyName: 'test-key',
  isAdmin: false,
  scopes: null,
  keyExpiresAt: new Date('2099-01-01T00:00:00Z'),
  superseded: null,
  keyRateLimitPerMinute: null,
  userRateLimitPerMinute: null,
  requestId: null,
  ...fields,
});

/**
 * A guard in place of `ApiKeyGuard`, which admits every request as this caller:
 * `overrideGuard(ApiKeyGuard).useValue(authenticatedAs({ isAdmin: true }))`. The other checks of
 * `@Authenticated()` and `@Administrators()` remain.
 *
 * @param fields null refuses every request, as `ApiKeyGuard` does without a key
 */
export const authenticatedAs = (fields: Partial<Principal> | null): CanActivate => ({
  canActivate(context: ExecutionContext): boolean {
    if (fields === null) throw new MissingApiKeyError();
    requestOf(context).principal = principal(fields);
    return true;
  },
});
