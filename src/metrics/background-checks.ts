import { Injectable, Logger } from '@nestjs/common';

const CHECK_EVERY_MS = 10 * 60_000;
/**
 * The pause after a round, as a multiple of its duration. The checks read whole tables: however
 * large these grow, the checks run for at most a hundredth of the time.
 */
const REST = 100;

interface Check {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/**
 * Checks that read whole tables, for gauges. A scrape never waits for them: it starts a round when
 * the last one is old, and reads the results of the last one. The checks of a round run one after
 * the other, so that they take one connection of the pool.
 */
@Injectable()
export class BackgroundChecks {
  private readonly logger = new Logger(BackgroundChecks.name);
  private readonly checks: Check[] = [];
  private isRunning = false;
  private nextRoundAt = 0;

  /** @param run sets a gauge; if it throws, the gauge keeps its value and the error is logged */
  add(name: string, run: () => Promise<void>): void {
    this.checks.push({ name, run });
  }

  /** Starts a round if one is due. Called by the `collect` of each gauge. */
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
