import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { UsersModule } from '../users/users.module.js';
import { OnboardingService } from './onboarding.service.js';

@Module({
  imports: [UsersModule, ApiKeysModule],
  providers: [OnboardingService],
  exports: [OnboardingService],
})
export class OnboardingModule {}
