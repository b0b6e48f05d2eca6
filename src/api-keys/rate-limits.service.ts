import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Redis } from 'ioredis';
import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { failOnThrowingListener } from '../common/fail-on-throwing-listener.js';
import { Counters } from '../common/counters/counters.js';
import { InjectOptions, type UsersApiOptions } from '../config/users-api.options.js';
import { RateLimitedError } from './api-keys.errors.js';
import { type RateLimitState, WINDOW_SECONDS } from './rate-limit.headers.js';

/** The timeout of Redis for a request, and the time without requests to it after a failure (ms). */
const STORE_TIMEOUT_MS = 100;
const STORE_COOLDOWN_MS = 1_000;
const TICK_MS = 20;

/** Counts requests in windows of a minute: in memory, or in Redis for all instances together. */
@Injectable()
export class RateLimits implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(RateLimits.name);
  private redis: Redis | undefined;
  private perKey: RateLimiterAbstract | undefined;
  private perAddress: RateLimiterAbstract | undefined;
  private coolDownUntil = 0;
  private storeIsDown = false;

  constructor(
    @InjectOptions() private readonly options: UsersApiOptions,
    private readonly counters: Counters,
  ) {}

  async onModuleInit(): Promise<void> {
    const { rateLimitPerMinute: points = 0, redisUrl } = this.options;
    if (points === 0) return;
    this.redis = redisUrl === undefined ? undefined : await this.connect(redisUrl);
    const limiter = (keyPrefix: string): RateLimiterAbstract => {
      const options = { points, duration: WINDOW_SECONDS, keyPrefix };
      return this.redis
        ? new RateLimiterRedis({ ...options, storeClient: this.redis })
        : new RateLimiterMemory(options);
    };
    this.perKey = limiter('users-api:key');
    this.perAddress = limiter('users-api:address');
  }

  /**
   * @returns null where nothing is limited, or the store does not answer: then requests pass
   * @throws RateLimitedError
   */
  countCall(keyId: string): Promise<RateLimitState | null> | null {
    return this.perKey ? this.count(this.perKey, 'key', keyId) : null;
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
    if (this.perAddress) await this.count(this.perAddress, 'address', rateLimitAddress(address));
  }

  private async count(
    limiter: RateLimiterAbstract,
    limit: RateLimitState['limit'],
    who: string,
  ): Promise<RateLimitState | null> {
    if (performance.now() < this.coolDownUntil) {
      this.counters.rateLimitFailures.inc();
      return null;
    }
    try {
      const counted = limiter.consume(who);
      const state = stateOf(limit, limiter, await (this.redis ? withTimeout(counted) : counted));
      this.storeIsDown = false;
      return state;
    } catch (rejection) {
      if (rejection instanceof RateLimiterRes) {
        this.counters.rateLimited.inc({ limit });
        throw new RateLimitedError(stateOf(limit, limiter, rejection));
      }
      if (!this.storeIsDown) this.logger.warn({ err: rejection }, 'Redis does not answer: requests pass uncounted');
      this.storeIsDown = true;
      this.coolDownUntil = performance.now() + STORE_COOLDOWN_MS;
      this.counters.rateLimitFailures.inc();
      return null;
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
  limit: RateLimitState['limit'],
  { points: quota }: RateLimiterAbstract,
  { remainingPoints, msBeforeNext }: RateLimiterRes,
): RateLimitState => ({ limit, quota, remaining: remainingPoints, resetSeconds: Math.ceil(msBeforeNext / 1000) });

/**
 * An IPv4 address, or the first half of an IPv6 address: a subscriber has 64 bits of these to
 * choose from (RFC 6177).
 */
export const rateLimitAddress = (address: string): string => address.split(':').slice(0, 4).join(':');
