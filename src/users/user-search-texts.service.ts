import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { withoutTimeouts } from '../database/without-timeouts.js';
import { query } from '../database/query.js';
import { HAS_RENAMED, REPLACE_TEXTS, REPLACED_TOGETHER } from './user-search.js';

const REPLACE_EVERY_MS = 60_000;

/**
 * Replaces the texts by which users are found, outside the request path: a change of a name only
 * records the user, and until the text is replaced, a search also reads the name of that user. The
 * change may be made by any process, or by hand. A failure here never fails a request; the next
 * attempt follows within a minute.
 */
@Injectable()
export class UserSearchTexts implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(UserSearchTexts.name);
  private running: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(@InjectDatabase() private readonly database: DataSource) {}

  onModuleInit(): void {
    this.timer = setInterval(() => void this.replace(), REPLACE_EVERY_MS).unref();
  }

  /** Replaces the texts of all users that were changed before the call, if any. */
  replace(): Promise<void> {
    this.running ??= this.run().finally(() => {
      this.running = undefined;
    });
    return this.running;
  }

  private async run(): Promise<void> {
    try {
      const [found] = await query<{ readonly renamed: boolean }>(this.database, HAS_RENAMED);
      if (!found?.renamed) return;
      await withoutTimeouts(this.database, async (replaceSome) => {
        for (let renamed = REPLACED_TOGETHER; renamed === REPLACED_TOGETHER;)
          renamed = (await replaceSome<{ readonly renamed: number }>(REPLACE_TEXTS))[0]?.renamed ?? 0;
      });
    } catch (error) {
      this.logger.warn({ err: error }, 'The texts by which renamed users are found could not be replaced');
    }
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }
}
