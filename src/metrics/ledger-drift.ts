import { Injectable, Logger } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { Metrics } from '../common/metrics/metrics.js';
import { CreditsService } from '../credits/credits.service.js';

const CHECK_EVERY_MS = 10 * 60_000;
/** The check reads the whole ledger: however large that grows, it keeps the database busy for a hundredth of the time at most. */
const REST = 100;

/**
 * Whether the ledger adds up, for a gauge. A scrape never waits for the check: it starts one when the last is old, and
 * reads what the last one found.
 */
@Injectable()
export class LedgerDrift {
  private readonly logger = new Logger(LedgerDrift.name);
  private checking: Promise<void> | null = null;
  private nextCheckAt = 0;

  constructor(
    { registry }: Metrics,
    private readonly credits: CreditsService,
  ) {
    const checkedAt = new Gauge({
      name: 'credits_drift_checked_timestamp_seconds',
      help: 'When the last check of the ledger ended, in Unix time; 0 before the first',
      registers: [registry],
    });
    const differences = new Gauge({
      name: 'credits_drift',
      help: 'Balances and entries that are not the sum of the entries before them: must be 0. NaN until the first check has ended',
      registers: [registry],
      collect: () => {
        if (performance.now() < this.nextCheckAt) return;
        this.checking ??= this.check(differences, checkedAt);
      },
    });
    differences.set(NaN);
  }

  private async check(differences: Gauge, checkedAt: Gauge): Promise<void> {
    const start = performance.now();
    try {
      differences.set((await this.credits.reconcile()).length);
      checkedAt.setToCurrentTime();
    } catch (error) {
      this.logger.warn({ err: error }, 'The ledger could not be checked');
    } finally {
      const end = performance.now();
      this.nextCheckAt = end + Math.max(CHECK_EVERY_MS, (end - start) * REST);
      this.checking = null;
    }
  }
}
