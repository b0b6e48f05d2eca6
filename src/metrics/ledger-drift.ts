import { Injectable } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { Counters } from '../common/counters/counters.js';
import { CreditsService } from '../credits/credits.service.js';
import { BackgroundChecks } from './background-checks.js';

/**
 * Whether the ledger is consistent. Neither metric has a value before the first check has ended.
 */
@Injectable()
export class LedgerDrift {
  constructor({ registry }: Counters, credits: CreditsService, checks: BackgroundChecks) {
    const checkedAt = new Gauge({
      name: 'users_api_credits_drift_checked_timestamp_seconds',
      help: 'When the last check of the ledger ended, in Unix time; absent until the first check has ended',
      registers: [registry],
    });
    const differences = new Gauge({
      name: 'users_api_credits_drift',
      help: 'Balances, entries, held credits and holds that do not agree with each other: must be 0; absent until the first check has ended',
      registers: [registry],
      collect: () => {
        checks.startWhenDue();
      },
    });
    checkedAt.remove();
    differences.remove(); // a gauge without labels begins as 0, which would mean that the ledger adds up
    checks.add('ledger', async () => {
      differences.set((await credits.reconcile()).length);
      checkedAt.setToCurrentTime();
    });
  }
}
