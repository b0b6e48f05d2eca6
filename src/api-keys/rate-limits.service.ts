import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Redis } from 'ioredis';
import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  type RateLimiterRes,
} from 'rate-limiter-flexible';
import { failOnThrowingListener } from '../common/fail-on-throwing-listener.js';
import { Counters } from '../common/counters/counters.js';
import { InjectOptions, type UsersApiOptions } from '../config/users-api.options.js';
import { RateLimitedError } from './api-keys.errors.js';
import { type RateLimitState, WINDOW_SECONDS } from './rate-limit.headers.js';
import { keyBudget, type StoredRateLimits } from './rate-limit-rules.js';

/** The timeout of Redis for a request, and the time without requests to it after a failure (ms). */
const STORE_TIMEOUT_MS = 100;
const STORE_COOLDOWN_MS = 1_000;
const TICK_MS = 20;

/** A key and its user, with their budgets: a `Principal` is one. */
export interface LimitedKey extends StoredRateLimits {
  readonly keyId: string;
  readonly userId: string;
}

/** The limits of a key after one unit of each was taken. */
export interface RateLimitOutcome {
  /** One for each budget; empty where there is none, or the store does not answer. */
  readonly limits: readonly RateLimitState[];
  /**
   * Null where the request may pass; otherwise the exceeded limit, whose `resetSeconds` is the time
   * to wait: of two, the one with the longer wait.
   */
  readonly exceeded: RateLimitState | null;
}

interface Budget {
  readonly limit: RateLimitState['limit'];
  /** What shares the budget. */
  readonly who: string;
  /** Requests a minute. */
  readonly quota: number;
}

const PASSED: RateLimitOutcome = { limits: [], exceeded: null };

/**
 * Counts requests in windows of a minute: in memory, or in Redis for all instances together. The
 * counts have no bound, and each request compares them with the budgets of its moment, so a changed
 * budget applies to the next request.
 */
@Injectable()
export class RateLimits implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(RateLimits.name);
  private readonly defaultLimit: number;
  private redis: Redis | undefined;
  private limiters: Readonly<Record<RateLimitState['limit'], RateLimiterAbstract>> | undefined;
  private coolDownUntil = 0;
  private storeIsDown = false;

  constructor(
    @InjectOptions() private readonly options: UsersApiOptions,
    private readonly counters: Counters,
  ) {
    this.defaultLimit = options.rateLimitPerMinute ?? 0;
  }

  async onModuleInit(): Promise<void> {
    const { redisUrl } = this.options;
    this.redis = redisUrl === undefined ? undefined : await this.connect(redisUrl);
    const limiter = (limit: RateLimitState['limit']): RateLimiterAbstract => {
      // `penalty` counts without a bound; `points` is of no effect there.
      const options = { points: Number.MAX_SAFE_INTEGER, duration: WINDOW_SECONDS, keyPrefix: `users-api:${limit}` };
      return this.redis
        ? new RateLimiterRedis({ ...options, storeClient: this.redis })
        : new RateLimiterMemory(options);
    };
    this.limiters = { key: limiter('key'), user: limiter('user'), address: limiter('address') };
  }

  /**
   * Takes one unit of the budget of a key and one of the budget of its user, in one round trip to
   * Redis, and none where there is no budget. A request that either refuses has counted for both.
   * Each call takes units of its own.
   */
  async take({ keyId, userId, ...stored }: LimitedKey): Promise<RateLimitOutcome> {
    const ofKey = keyBudget(stored, this.defaultLimit);
    const ofUser = stored.userRateLimitPerMinute ?? Infinity;
    const budgets: Budget[] = [];
    if (ofKey !== Infinity) budgets.push({ limit: 'key', who: keyId, quota: ofKey });
    if (ofUser !== Infinity) budgets.push({ limit: 'user', who: userId, quota: ofUser });
    return budgets.length > 0 ? this.count(budgets) : PASSED;
  }

  /**
   * Like `take`, for a request that is answered 429 where a budget is exceeded.
   *
   * @returns the limits that apply, for the headers of the response
   * @throws RateLimitedError
   */
  async countCall(key: LimitedKey): Promise<readonly RateLimitState[]> {
    return this.refuseExceeded(await this.take(key));
  }

  /**
   * Counts a request that did not authenticate. Other requests of that address are not refused for
   * it: behind a proxy or a NAT they may be anybody's.
   *
   * @param address as `callerAddress` gives it: anything else would let a caller choose what it is
   *   counted by
   * @throws RateLimitedError
   */
  async countFailure(address: string): Promise<void> {
    const quota = this.defaultLimit;
    if (quota > 0) this.refuseExceeded(await this.count([{ limit: 'address', who: rateLimitAddress(address), quota }]));
  }

  private refuseExceeded({ limits, exceeded }: RateLimitOutcome): readonly RateLimitState[] {
    if (exceeded === null) return limits;
    this.counters.rateLimited.inc({ limit: exceeded.limit });
    throw new RateLimitedError(exceeded, limits);
  }

  private async count(budgets: readonly Budget[]): Promise<RateLimitOutcome> {
    const { limiters } = this;
    if (!limiters) return PASSED; // before the module is initialized
    if (performance.now() < this.coolDownUntil) {
      this.counters.rateLimitFailures.inc();
      return PASSED;
    }
    try {
      const counted = Promise.all(
        budgets.map(async (budget) => stateOf(budget, await limiters[budget.limit].penalty(budget.who))),
      );
      const limits = await (this.redis ? withTimeout(counted) : counted);
      this.storeIsDown = false;
      return { limits, exceeded: exceededOf(limits) };
    } catch (error) {
      if (!this.storeIsDown) this.logger.warn({ err: error }, 'Redis does not answer: requests pass uncounted');
      this.storeIsDown = true;
      this.coolDownUntil = performance.now() + STORE_COOLDOWN_MS;
      this.counters.rateLimitFailures.inc();
      return PASSED;
    }
  }

  private async connect(url: string): Promise<Redis> {
    const { Redis: Client } = await import('ioredis');
    const client = new Client(url, {
      enableOfflineQueue: false, // a command that waits for a connection would hold its request up
      maxRetriesPerRequest: 0,
      connectTimeout: STORE_COOLDOWN_MS,
      socketTimeout: 2 * STORE_COOLDOWN_MS, // closes a connection whose peer is gone without a message
      retryStrategy: () => STORE_COOLDOWN_MS,
    });
    client.on('error', (error: unknown) => {
      this.logger.debug({ err: error }, 'Redis cannot be reached');
    });
    client.on('connect', () => {
      failOnThrowingListener(client.stream, (thrown) => new Error('Redis sent an unreadable reply', { cause: thrown }));
    });
    client.on('ready', () => {
      this.coolDownUntil = 0;
    });
    return client;
  }

  onApplicationShutdown(): void {
    this.redis?.disconnect();
  }
}

/**
 * Rejects after `STORE_TIMEOUT_MS`. Counts short ticks in place of one timer: after a blocked event
 * loop a single timer would fire before a reply that has already arrived is read.
 */
async function withTimeout<T>(answer: Promise<T>): Promise<T> {
  let left = STORE_TIMEOUT_MS / TICK_MS;
  let ticks: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    ticks = setInterval(() => {
      left -= 1;
      if (left === 0) reject(new Error(`Redis did not answer within ${String(STORE_TIMEOUT_MS)} ms`));
    }, TICK_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearInterval(ticks);
    answer.catch(() => undefined); // a later failure is not of interest
  }
}

const stateOf = (
  { limit, quota }: Budget,
  { consumedPoints: count, msBeforeNext }: RateLimiterRes,
): RateLimitState => ({
  limit,
  quota,
  remaining: Math.max(quota - count, 0),
  resetSeconds: Math.ceil(msBeforeNext / 1000),
  isExceeded: count > quota,
});

const exceededOf = (limits: readonly RateLimitState[]): RateLimitState | null =>
  limits
    .filter(({ isExceeded }) => isExceeded)
    .reduce<RateLimitState | null>((a, b) => (a && a.resetSeconds >= b.resetSeconds ? a : b), null);

/**
 * An IPv4 address, or the first half of an IPv6 address: a subscriber has 64 bits of these to
 * choose from (RFC 6177).
 */
export const rateLimitAddress = (address: string): string => address.split(':').slice(0, 4).join(':');
