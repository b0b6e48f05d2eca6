import type { Actor } from '../audit-trail/actor.js';

/** The authenticated caller: all that a handler may know about the key and the request. */
export interface Principal extends Actor {
  readonly type: 'API_KEY';
  readonly userId: string;
  readonly keyId: string;
  readonly isAdmin: boolean;
}
