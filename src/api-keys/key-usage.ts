import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { ApiKey } from './api-key.entity.js';

/** How far `last_used_at` may lag, and how often a key is written at most. */
const FLUSH_EVERY_MS = 60_000;

/** Keys that are remembered between two writes: some 10 MB. */
const CAPACITY = 100_000;

/**
 * Notes when keys were used, off the path of requests: each process writes all keys that it saw in one statement a
 * minute, and a last one at its end. Whatever goes wrong with it costs no request anything.
 */
@Injectable()
export class KeyUsage implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(KeyUsage.name);
  private lastUses = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(@InjectRepository(ApiKey) private readonly rows: Repository<ApiKey>) {}

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
    if (uses.length === 0) return;
    this.lastUses = new Map();
    const now = performance.now();
    try {
      await this.rows.query(
        `UPDATE api_keys k
            SET last_used_at = greatest(k.last_used_at, k.created_at, statement_timestamp() - make_interval(secs => used.age))
           FROM (SELECT id, age FROM unnest($1::uuid[], $2::float8[]) AS t(id, age)) AS used,
                LATERAL (SELECT id FROM api_keys WHERE id = used.id FOR NO KEY UPDATE SKIP LOCKED) AS free
          WHERE k.id = free.id`,
        [uses.map(([id]) => id), uses.map(([, at]) => (now - at) / 1000)],
      );
    } catch (error) {
      this.logger.warn({ err: error, keys: uses.length }, 'The last uses of some keys could not be written');
    }
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }
}
