import { Module } from '@nestjs/common';
import { ApiKeyFormat } from '../common/api-key-format.js';
import { CountersModule } from '../common/counters/counters.module.js';
import { USERS_API_OPTIONS, type UsersApiOptions } from '../config/users-api.options.js';
import { EventsModule } from '../events/events.module.js';
import { ApiKeyListsRepository } from './api-key-lists.repository.js';
import { ApiKeysAdminController } from './api-keys.admin.controller.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthenticationService } from './authentication.service.js';
import { KeyUsage } from './key-usage.service.js';
import { LeakedKeysController } from './leaked-keys.controller.js';
import { LeakedSecretsRepository } from './leaked-secrets.repository.js';
import { LeakedSecretsService } from './leaked-secrets.service.js';
import { RateLimits } from './rate-limits.service.js';
import { SecretsRepository } from './secrets.repository.js';

/** Services, and everything that `@Authenticated()` needs. */
@Module({
  imports: [CountersModule, EventsModule],
  providers: [
    ApiKeysService,
    AuthenticationService,
    ApiKeysRepository,
    ApiKeyListsRepository,
    SecretsRepository,
    LeakedSecretsService,
    LeakedSecretsRepository,
    KeyUsage,
    RateLimits,
    {
      provide: ApiKeyFormat,
      useFactory: ({ apiKeyPrefixes }: UsersApiOptions) => new ApiKeyFormat(apiKeyPrefixes),
      inject: [USERS_API_OPTIONS],
    },
  ],
  exports: [ApiKeysService, AuthenticationService, LeakedSecretsService, RateLimits],
})
export class ApiKeysCoreModule {}

@Module({
  imports: [ApiKeysCoreModule],
  controllers: [ApiKeysController, ApiKeysAdminController, LeakedKeysController],
  exports: [ApiKeysCoreModule],
})
export class ApiKeysModule {}
