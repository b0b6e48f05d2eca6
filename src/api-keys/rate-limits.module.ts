import { type DynamicModule, Module } from '@nestjs/common';
import { MetricsModule } from '../common/metrics/metrics.module.js';
import { RATE_LIMIT_SETTINGS, RateLimits, type RateLimitSettings } from './rate-limits.js';

/** Limits how often callers may call. Without it nothing is limited. */
@Module({})
export class RateLimitsModule {
  static forRoot(settings: RateLimitSettings): DynamicModule {
    return {
      module: RateLimitsModule,
      global: true, // `ApiKeyGuard` asks for it wherever it stands
      imports: [MetricsModule],
      providers: [RateLimits, { provide: RATE_LIMIT_SETTINGS, useValue: settings }],
      exports: [RateLimits],
    };
  }
}
