import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import sql from 'sql-template-tag';
import { DataSource } from 'typeorm';
import { Counters } from '../common/counters/counters.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { query } from '../database/query.js';
import { Rows } from '../database/rows.js';

/**
 * The longest lag of `last_used_at`, and the shortest interval between two writes of one key (ms).
 */
const FLUSH_EVERY_MS = 60_000;

/** Keys per statement: about 50 ms of work for the database, well within the statement timeout. */
const SLICE = 1_000;

/** Maximum number of keys in memory between two writes: about 10 MB. */
const CAPACITY = 100_000;

/**
 * Records when keys were used, outside the request path: each process writes the keys that were
 * used there with a few statements per minute, and once more on shutdown. A failure here never
 * fails a request.
 */
@Injectable()
export class KeyUsage implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(KeyUsage.name);
  private lastUses = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    private readonly counters: Counters,
  ) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.flush(), FLUSH_EVERY_MS).unref();
  }

  /**
   * Records a use of a key. Once the capacity is reached, further keys are recorded in the next
   * minute.
   */
  record(keyId: string): void {
    if (this.lastUses.size < CAPACITY || this.lastUses.has(keyId)) this.lastUses.set(keyId, performance.now());
  }

  /**
   * Writes the recorded uses. Instants are sent as ages, so that only the database clock counts.
   * Locked rows are skipped: the next use of the key is recorded again.
   */
  async flush(): Promise<void> {
    const uses = [...this.lastUses];
    this.lastUses = new Map();
    for (let from = 0; from < uses.length; from += SLICE) {
      try {
        await this.write(uses.slice(from, from + SLICE));
      } catch (error) {
        const keys = uses.length - from; // further statements would most likely fail, too
        this.counters.unwrittenKeyUses.inc(keys);
        this.logger.warn({ err: error, keys }, 'The last uses of some keys could not be written');
        return;
      }
    }
  }

  private async write(uses: readonly (readonly [id: string, at: number])[]): Promise<void> {
    const now = performance.now();
    const used = new Rows<readonly [id: string, at: number]>({
      id: ['uuid', ([id]) => id],
      age: ['float8', ([, at]) => (now - at) / 1000],
    });
    await query(
      this.database,
      sql`UPDATE api_keys
   SET last_used_at = greatest(api_keys.last_used_at, api_keys.created_at, statement_timestamp() - make_interval(secs => used.age))
  FROM ${used.of(uses, 'used')},
       LATERAL (SELECT id FROM api_keys WHERE id = used.id FOR NO KEY UPDATE SKIP LOCKED) AS unlocked
 WHERE api_keys.id = unlocked.id`,
    );
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }
}
