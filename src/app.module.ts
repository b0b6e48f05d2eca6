import { type DynamicModule, Module } from '@nestjs/common';
import type { AppConfig } from './config/app.config.js';
import type { PostgresOptions } from './database/data-source.options.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthModule } from './health/health.module.js';
import { MetricsServerModule } from './metrics/metrics-server.module.js';
import { OnboardingModule } from './onboarding/onboarding.module.js';
import { UsersApiModule } from './users-api.module.js';

/** The application that runs by itself: `UsersApiModule`, and what only an application of its own needs. */
@Module({})
export class AppModule {
  static forRoot(config: AppConfig, database: PostgresOptions): DynamicModule {
    const { newUserCredits, rateLimitPerMinute, redisUrl } = config;
    return {
      module: AppModule,
      imports: [
        DatabaseModule.forRoot(database),
        UsersApiModule.forRoot({ newUserCredits, rateLimitPerMinute, redisUrl }),
        OnboardingModule,
        HealthModule.forRoot({ drainMs: config.shutdownDrainMs }),
        ...(config.metricsPort === undefined ? [] : [MetricsServerModule]),
      ],
    };
  }
}
