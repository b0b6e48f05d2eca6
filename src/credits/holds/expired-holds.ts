import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { CreditsService } from '../credits.service.js';

/** Milliseconds from the end of one run to the next, and from the start to the first. */
const SWEEP_EVERY_MS = 60_000;

/**
 * Releases the credits of expired holds, each minute. Only cleanup: an expired hold has no effect,
 * and no request is refused because of it. Several instances divide the work, since each skips
 * accounts that another has locked.
 */
@Injectable()
export class ExpiredHolds implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(ExpiredHolds.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private readonly stop = new AbortController();

  constructor(private readonly credits: CreditsService) {}

  onModuleInit(): void {
    this.schedule();
  }

  private schedule(): void {
    if (this.stop.signal.aborted) return;
    this.timer = setTimeout(() => {
      this.running = this.sweep().finally(() => {
        this.schedule();
      });
    }, SWEEP_EVERY_MS).unref();
  }

  /** One run. Never throws: the next run repeats what failed. */
  async sweep(): Promise<void> {
    try {
      await this.credits.releaseExpiredHolds(this.stop.signal);
    } catch (error) {
      this.logger.warn({ err: error }, 'Expired holds could not be released; the next run is in a minute');
    }
  }

  /** Starts no further run, and waits for the current slice of a run in progress. */
  async onApplicationShutdown(): Promise<void> {
    this.stop.abort();
    clearTimeout(this.timer);
    await this.running;
  }
}
