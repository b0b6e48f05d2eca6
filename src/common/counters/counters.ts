import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Why a caller was refused with 401. The first two cost no SQL. */
export type AuthenticationRefusal =
  'missing' | 'malformed' | 'unknown' | 'revoked' | 'expired' | 'superseded' | 'user_inactive';

/** Requests that a batcher or a queue has in flight, and those that wait in it. */
interface Queue {
  readonly inFlight: number;
  readonly queued: number;
}

/**
 * Counters of the features. Each application has its own registry, so that several applications in
 * one process are counted separately.
 */
@Injectable()
export class Counters {
  readonly registry = new Registry();

  readonly authenticationRefusals = new Counter({
    name: 'users_api_authentication_refusals_total',
    help: 'Requests answered 401: no key, one that cannot be a key, or one that is unknown, revoked, expired, superseded or of an inactive user',
    labelNames: ['reason'] as const,
    registers: [this.registry],
  });

  readonly rateLimited = new Counter({
    name: 'users_api_rate_limited_total',
    help: 'Requests answered 429, by what was over its limit: an API key, the keys of a user together, or an address whose requests keep failing to authenticate',
    labelNames: ['limit'] as const,
    registers: [this.registry],
  });

  readonly verifications = new Counter({
    name: 'users_api_verifications_total',
    help: 'Keys that other services had verified, by the reason of the refusal, or allowed',
    labelNames: ['reason'] as const,
    registers: [this.registry],
  });

  readonly expiredHolds = new Counter({
    name: 'users_api_holds_expired_total',
    help: 'Expired holds whose credits this instance has released',
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

  private readonly batchSizes = new Histogram({
    name: 'users_api_batch_size',
    help: 'Requests that shared a statement, by statement',
    labelNames: ['statement'] as const,
    buckets: [1, 2, 5, 10, 20, 50, 100],
    registers: [this.registry],
  });

  private readonly queues = new Map<string, Queue>();

  constructor() {
    const { queues } = this;
    for (const [state, read] of STATES)
      new Gauge({
        name: `users_api_requests_${state}`,
        help: `Requests ${state === 'queued' ? 'that wait' : 'in flight'} in the batches and queues before the database, by statement`,
        labelNames: ['statement'],
        registers: [this.registry],
        collect() {
          for (const [statement, queue] of queues) this.set({ statement }, read(queue));
        },
      });
  }

  /** @returns a function to call with the size of each batch that is sent */
  batchSizeOf(statement: string): (size: number) => void {
    const sizes = this.batchSizes.labels(statement);
    return (size) => {
      sizes.observe(size);
    };
  }

  /** Shows a batcher or a queue at `/metrics`. */
  watchQueue(statement: string, queue: Queue): void {
    this.queues.set(statement, queue);
  }
}

const STATES = [
  ['in_flight', ({ inFlight }: Queue) => inFlight],
  ['queued', ({ queued }: Queue) => queued],
] as const;
