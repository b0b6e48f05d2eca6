import type { Actor } from '../audit-trail/actor.js';
import type { Scopes } from './scopes.js';

/** The authenticated caller: everything that a handler may know about the key and the request. */
export interface Principal extends Actor {
  readonly type: 'API_KEY';
  readonly userId: string;
  readonly keyId: string;
  readonly keyName: string;
  readonly isAdmin: boolean;
  readonly scopes: Scopes;
  readonly keyExpiresAt: Date;
  /** The stored budget of the key, as `RateLimits` reads it. */
  readonly keyRateLimitPerMinute: number | null;
  /** The stored budget of the user. */
  readonly userRateLimitPerMinute: number | null;
  /**
   * Set if the request was sent with a secret that a rotation has replaced: the instant of the
   * rotation, and the end of the overlap.
   */
  readonly superseded: { readonly at: Date; readonly until: Date } | null;
}
