import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { MetricsModule } from '../common/metrics/metrics.module.js';
import { DatabaseMetrics } from './database-metrics.js';
import { LedgerDrift } from './ledger-drift.js';
import { MetricsServer } from './metrics.server.js';
import { RequestMetrics } from './request-metrics.middleware.js';

/** What only an application of its own measures, and serves on a port of its own; imported where `METRICS_PORT` is set. */
@Module({})
export class MetricsServerModule implements NestModule {
  /** @param credits the module of the ledger to watch */
  static forRoot(credits: DynamicModule): DynamicModule {
    return {
      module: MetricsServerModule,
      imports: [MetricsModule, credits],
      providers: [MetricsServer, DatabaseMetrics, LedgerDrift],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(RequestMetrics).forRoutes('{*path}');
  }
}
