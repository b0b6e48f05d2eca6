import { type DynamicModule, Module } from '@nestjs/common';
import type { VariableValues } from './config/variables.js';
import { optionsFrom } from './config/users-api.options.js';
import type { PostgresOptions } from './database/data-source.options.js';
import { ENTITIES } from './entities.js';
import { AuditArchiveModule } from './audit/audit-archive.module.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthModule } from './health/health.module.js';
import { MetricsEndpointModule } from './metrics/metrics-endpoint.module.js';
import { OnboardingModule } from './onboarding/onboarding.module.js';
import { PersonalDataModule } from './personal-data/personal-data.module.js';
import { UsersApiModule } from './users-api.module.js';

/**
 * The standalone application: `UsersApiModule`, and the modules that only a standalone application
 * needs.
 */
@Module({})
export class AppModule {
  static forRoot(config: VariableValues, database: PostgresOptions): DynamicModule {
    return {
      module: AppModule,
      imports: [
        DatabaseModule.forRoot(database, ENTITIES),
        UsersApiModule.forRoot(optionsFrom(config)),
        OnboardingModule,
        PersonalDataModule,
        AuditArchiveModule,
        HealthModule.forRoot({ drainMs: config.shutdownDrainMs }),
        ...(config.metricsPort === undefined ? [] : [MetricsEndpointModule]),
      ],
    };
  }
}
