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

/** The timeout of a Redis request, and the time without Redis requests after a failure (ms). */
const STORE_TIMEOUT_MS = 100;
const STORE_COOLDOWN_MS = 1_000;
const TICK_MS = 20;

/** A key and its user, with their budgets; every `Principal` has these fields. */
export interface LimitedKey extends StoredRateLimits {
  readonly keyId: string;
  readonly userId: string;
}

/** The limits of a key after one unit of each was taken. */
export interface RateLimitOutcome {
  /** One state for each budget; empty if there is no budget or the store does not respond. */
  readonly limits: readonly RateLimitState[];
  /**
   * Null if the request is allowed; otherwise the exceeded limit, whose `resetSeconds` is the time
   * to wait. Of two exceeded limits, the one with the longer wait.
   */
  readonly exceeded: RateLimitState | null;
}

interface Budget {
  readonly limit: RateLimitState['limit'];
  /** The key, user or address that shares the budget. */
  readonly who: string;
  /** Requests a minute. */
  readonly quota: number;
}

const PASSED: RateLimitOutcome = { limits: [], exceeded: null };

/**
 * Counts requests in windows of a minute: in memory, or in Redis for all instances together. The
 * counts have no upper bound, and each request compares them with its current budgets, so a changed
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
      // `penalty` counts without an upper bound; `points` has no effect on it.
      const options = { points: Number.MAX_SAFE_INTEGER, duration: WINDOW_SECONDS, keyPrefix: `users-api:${limit}` };
      return this.redis
        ? new RateLimiterRedis({ ...options, storeClient: this.redis })
        : new RateLimiterMemory(options);
    };
    this.limiters = { key: limiter('key'), user: limiter('user'), address: limiter('address') };
  }

  /**
   * Takes one unit of the budget of a key and one of the budget of its user, in one round trip to
   * Redis, or in none without a budget. A request that exceeds either budget counts for both. Not
   * idempotent: each call takes units.
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
   * Like `take`, for a request that gets 429 if a budget is exceeded.
   *
   * @returns the limits that apply, for the headers of the response
   * @throws RateLimitedError
   */
  async countCall(key: LimitedKey): Promise<readonly RateLimitState[]> {
    return this.refuseExceeded(await this.take(key));
  }

  /**
   * Counts a request that did not authenticate. Other requests of that address are not refused
   * because of it: behind a proxy or a NAT they may come from other callers.
   *
   * @param address as `callerAddress` returns it: otherwise a caller could choose the counter
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
      enableOfflineQueue: false, // a command that waits for a connection would delay its request
      maxRetriesPerRequest: 0,
      connectTimeout: STORE_COOLDOWN_MS,
      socketTimeout: 2 * STORE_COOLDOWN_MS, // closes a connection whose peer has disappeared without closing it
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
    answer.catch(() => undefined); // ignores a later failure
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
 * An IPv4 address, or the first half of an IPv6 address: a subscriber can choose the other 64 bits
 * freely (RFC 6177).
 */
export const rateLimitAddress = (address: string): string => address.split(':').slice(0, 4).join(':');
