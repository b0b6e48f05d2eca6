import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Metrics } from '../common/metrics/metrics.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';

/** How far `last_used_at` may lag, and how often a key is written at most. */
const FLUSH_EVERY_MS = 60_000;

/** Keys in one statement: some 50 ms of work for the database, well within the time-out of a statement. */
const SLICE = 1_000;

/** Keys that are remembered between two writes: some 10 MB. */
const CAPACITY = 100_000;

/**
 * Notes when keys were used, off the path of requests: each process writes all keys that it saw in a few statements a
 * minute, and for a last time at its end. Whatever goes wrong with it costs no request anything.
 */
@Injectable()
export class KeyUsage implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(KeyUsage.name);
  private lastUses = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    private readonly metrics: Metrics,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), FLUSH_EVERY_MS).unref();
  }

  /** Notes a use of a key. Once the memory is full, keys that are new to it wait for the next minute. */
  record(keyId: string): void {
    if (this.lastUses.size < CAPACITY || this.lastUses.has(keyId)) this.lastUses.set(keyId, performance.now());
  }

  /**
   * Writes what was noted. Instants go as ages, so that the database's clock is the only one that counts. Rows that
   * somebody is changing are passed over rather than waited for: the key's next use is noted again.
   */
  async flush(): Promise<void> {
    const uses = [...this.lastUses];
    this.lastUses = new Map();
    for (let from = 0; from < uses.length; from += SLICE) {
      try {
        await this.write(uses.slice(from, from + SLICE));
      } catch (error) {
        const keys = uses.length - from; // what failed once would most likely fail again
        this.metrics.unwrittenKeyUses.inc(keys);
        this.logger.warn({ err: error, keys }, 'The last uses of some keys could not be written');
        return;
      }
    }
  }

  private async write(uses: readonly (readonly [id: string, at: number])[]): Promise<void> {
    const now = performance.now();
    await this.database.query(
      `UPDATE api_keys k
          SET last_used_at = greatest(k.last_used_at, k.created_at, statement_timestamp() - make_interval(secs => used.age))
         FROM (SELECT id, age FROM unnest($1::uuid[], $2::float8[]) AS t(id, age)) AS used,
              LATERAL (SELECT id FROM api_keys WHERE id = used.id FOR NO KEY UPDATE SKIP LOCKED) AS free
        WHERE k.id = free.id`,
      [uses.map(([id]) => id), uses.map(([, at]) => (now - at) / 1000)],
    );
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }
}
