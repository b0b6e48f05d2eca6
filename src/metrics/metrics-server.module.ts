import { type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { MetricsModule } from '../common/metrics/metrics.module.js';
import { CreditsCoreModule } from '../credits/credits.module.js';
import { DatabaseMetrics } from './database-metrics.js';
import { LedgerDrift } from './ledger-drift.js';
import { MetricsServer } from './metrics.server.js';
import { RequestMetrics } from './request-metrics.middleware.js';

/** What only an application of its own measures, and serves on a port of its own; imported where `METRICS_PORT` is set. */
@Module({
  imports: [MetricsModule, CreditsCoreModule],
  providers: [MetricsServer, DatabaseMetrics, LedgerDrift],
})
export class MetricsServerModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RequestMetrics).forRoutes('{*path}');
  }
}
