import { Injectable } from '@nestjs/common';
import { Counter, Registry } from 'prom-client';

/** Why a caller was refused with 401. The first two cost no SQL. */
export type AuthenticationRefusal =
  'missing' | 'malformed' | 'unknown' | 'revoked' | 'expired' | 'superseded' | 'user_inactive';

/**
 * What features count, whether or not anybody reads it: one registry per application, so that several of them in one
 * process do not add up.
 */
@Injectable()
export class Metrics {
  readonly registry = new Registry();

  readonly authenticationRefusals = new Counter({
    name: 'users_api_authentication_refusals_total',
    help: 'Requests answered 401: no key, one that cannot be a key, or one that is unknown, revoked, expired, superseded or of an inactive user',
    labelNames: ['reason'] as const,
    registers: [this.registry],
  });

  readonly rateLimited = new Counter({
    name: 'users_api_rate_limited_total',
    help: 'Requests answered 429, by what was over its limit: an API key, or an address whose requests keep failing to authenticate',
    labelNames: ['limit'] as const,
    registers: [this.registry],
  });

  readonly rateLimitFailures = new Counter({
    name: 'users_api_rate_limit_failures_total',
    help: 'Requests that passed uncounted, because the store of the rate limits did not answer',
    registers: [this.registry],
  });

  readonly unwrittenKeyUses = new Counter({
    name: 'users_api_api_key_uses_unwritten_total',
    help: 'Keys whose last_used_at could not be written for a minute',
    registers: [this.registry],
  });
}
