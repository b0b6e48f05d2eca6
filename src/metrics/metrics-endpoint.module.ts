import { type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { ApiKeysCoreModule } from '../api-keys/api-keys.module.js';
import { CountersModule } from '../common/counters/counters.module.js';
import { CreditsCoreModule } from '../credits/credits.module.js';
import { BackgroundChecks } from './background-checks.js';
import { DatabaseMetrics } from './database-metrics.js';
import { ExpiringKeys } from './expiring-keys.js';
import { LedgerDrift } from './ledger-drift.js';
import { MetricsServer } from './metrics.server.js';
import { OpenHolds } from './open-holds.js';
import { RequestMetrics } from './request-metrics.middleware.js';

/**
 * Metrics that only the standalone application collects and serves, on a separate port; imported if
 * `METRICS_PORT` is set.
 */
@Module({
  imports: [CountersModule, ApiKeysCoreModule, CreditsCoreModule],
  providers: [MetricsServer, DatabaseMetrics, BackgroundChecks, ExpiringKeys, LedgerDrift, OpenHolds],
})
export class MetricsEndpointModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RequestMetrics).forRoutes('{*path}');
  }
}
