import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { MetricsModule } from '../common/metrics/metrics.module.js';
import { ApiKey } from './api-key.entity.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { ApiKeysService } from './api-keys.service.js';
import { AuthenticationService } from './authentication.service.js';
import { KeyUsage } from './key-usage.js';
import { SupersededSecret } from './superseded-secret.entity.js';

@Module({
  imports: [TypeOrmModule.forFeature([ApiKey, SupersededSecret]), MetricsModule],
  controllers: [ApiKeysController],
  providers: [ApiKeysService, AuthenticationService, ApiKeysRepository, KeyUsage],
  exports: [ApiKeysService, AuthenticationService],
})
export class ApiKeysModule {}
