import { Injectable } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { ApiKeysService } from '../api-keys/api-keys.service.js';
import { Counters } from '../common/counters/counters.js';
import { BackgroundChecks } from './background-checks.js';

/** Keys in use that expire soon: the callers of each will be refused unless the key is renewed. */
@Injectable()
export class ExpiringKeys {
  constructor({ registry }: Counters, apiKeys: ApiKeysService, checks: BackgroundChecks) {
    const expiring = new Gauge({
      name: 'users_api_expiring_keys',
      help: 'Active API keys that expire within 30 days and were used within the last 30; absent until they have been counted',
      registers: [registry],
      collect: () => {
        checks.startWhenDue();
      },
    });
    expiring.remove(); // a gauge without labels begins as 0, which would mean that no key expires
    checks.add('expiring keys', async () => {
      expiring.set(await apiKeys.countExpiring());
    });
  }
}
