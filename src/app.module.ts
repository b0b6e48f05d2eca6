import { type DynamicModule, Module } from '@nestjs/common';
import { ApiKeysModule } from './api-keys/api-keys.module.js';
import { RateLimitsModule } from './api-keys/rate-limits.module.js';
import { AuditModule } from './audit/audit.module.js';
import type { AppConfig } from './config/app.config.js';
import { CreditsModule } from './credits/credits.module.js';
import type { PostgresOptions } from './database/data-source.options.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthModule } from './health/health.module.js';
import { MetricsServerModule } from './metrics/metrics-server.module.js';
import { OnboardingModule } from './onboarding/onboarding.module.js';
import { UsersModule } from './users/users.module.js';

/** The list of features. */
@Module({})
export class AppModule {
  static forRoot(config: AppConfig, database: PostgresOptions): DynamicModule {
    const credits = CreditsModule.forRoot({ signupCredits: config.newUserCredits });
    return {
      module: AppModule,
      imports: [
        DatabaseModule.forRoot(database),
        RateLimitsModule.forRoot(config),
        ApiKeysModule,
        UsersModule,
        credits,
        AuditModule,
        OnboardingModule,
        HealthModule.forRoot({ drainMs: config.shutdownDrainMs }),
        ...(config.metricsPort === undefined ? [] : [MetricsServerModule.forRoot(credits)]),
      ],
    };
  }
}
