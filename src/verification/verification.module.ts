import { Module } from '@nestjs/common';
import { ApiKeysCoreModule } from '../api-keys/api-keys.module.js';
import { CountersModule } from '../common/counters/counters.module.js';
import { CreditsCoreModule } from '../credits/credits.module.js';
import { EarlierTransactions } from './earlier-transactions.repository.js';
import { ForwardAuthController } from './forward-auth.controller.js';
import { VerificationService } from './verification.service.js';
import { VerifyController } from './verify.controller.js';

@Module({
  imports: [ApiKeysCoreModule, CreditsCoreModule, CountersModule],
  providers: [VerificationService, EarlierTransactions],
  exports: [VerificationService],
})
export class VerificationCoreModule {}

@Module({
  imports: [VerificationCoreModule, ApiKeysCoreModule],
  controllers: [VerifyController, ForwardAuthController],
  exports: [VerificationCoreModule],
})
export class VerificationModule {}
