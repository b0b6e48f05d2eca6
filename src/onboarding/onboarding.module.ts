import { Module } from '@nestjs/common';
import { ApiKeysCoreModule } from '../api-keys/api-keys.module.js';
import { UsersCoreModule } from '../users/users.module.js';
import { OnboardingService } from './onboarding.service.js';

@Module({
  imports: [UsersCoreModule, ApiKeysCoreModule],
  providers: [OnboardingService],
  exports: [OnboardingService],
})
export class OnboardingModule {}
