import { Injectable } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { Counters } from '../common/counters/counters.js';
import { CreditsService } from '../credits/credits.service.js';
import { BackgroundChecks } from './background-checks.js';

/** Open holds: work in progress whose price is not known yet. */
@Injectable()
export class OpenHolds {
  constructor({ registry }: Counters, credits: CreditsService, checks: BackgroundChecks) {
    const open = new Gauge({
      name: 'users_api_holds_open',
      help: 'Holds that are open and have not expired; absent until they have been counted',
      registers: [registry],
      collect: () => {
        checks.startWhenDue();
      },
    });
    open.remove(); // a gauge without labels begins as 0, which would mean that no hold is open
    checks.add('open holds', async () => {
      open.set(await credits.countOpenHolds());
    });
  }
}
