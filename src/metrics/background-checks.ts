import { Injectable, Logger } from '@nestjs/common';

const CHECK_EVERY_MS = 10 * 60_000;
/**
 * The checks read whole tables: however large these grow, they keep the database busy for a
 * hundredth of the time at most.
 */
const REST = 100;

interface Check {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/**
 * Checks that read whole tables, for gauges. A scrape never waits for them: it starts a round when
 * the last one is old, and reads what that found. The checks of a round run one after the other, so
 * that they take one connection of the pool.
 */
@Injectable()
export class BackgroundChecks {
  private readonly logger = new Logger(BackgroundChecks.name);
  private readonly checks: Check[] = [];
  private isRunning = false;
  private nextRoundAt = 0;

  /** @param run sets a gauge; when it throws, the gauge keeps its value and the log says why */
  add(name: string, run: () => Promise<void>): void {
    this.checks.push({ name, run });
  }

  /** For the `collect` of each gauge: starts a round when it is time for one. */
  startWhenDue(): void {
    if (this.isRunning || performance.now() < this.nextRoundAt) return;
    this.isRunning = true;
    void this.runAll();
  }

  private async runAll(): Promise<void> {
    const start = performance.now();
    for (const { name, run } of this.checks) {
      try {
        await run();
      } catch (error) {
        this.logger.warn({ err: error, check: name }, 'A check for the metrics failed');
      }
    }
    const end = performance.now();
    this.nextRoundAt = end + Math.max(CHECK_EVERY_MS, (end - start) * REST);
    this.isRunning = false;
  }
}
