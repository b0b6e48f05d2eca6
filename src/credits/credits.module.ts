import { Module, type OnModuleInit } from '@nestjs/common';
import { ApiKeysCoreModule } from '../api-keys/api-keys.module.js';
import { CountersModule } from '../common/counters/counters.module.js';
import { EventsModule } from '../events/events.module.js';
import { UsersCoreModule } from '../users/users.module.js';
import { UsersService } from '../users/users.service.js';
import { InjectOptions, type UsersApiOptions } from '../config/users-api.options.js';
import { BalancesController } from './balances.controller.js';
import { CreditsAdminController } from './credits.admin.controller.js';
import { CreditsController } from './credits.controller.js';
import { CreditsRepository } from './credits.repository.js';
import { CreditsService } from './credits.service.js';
import { ExpiredHolds } from './holds/expired-holds.js';
import { HoldsController } from './holds/holds.controller.js';

@Module({
  imports: [UsersCoreModule, CountersModule, EventsModule],
  providers: [CreditsService, CreditsRepository, ExpiredHolds],
  exports: [CreditsService],
})
export class CreditsCoreModule implements OnModuleInit {
  constructor(
    private readonly users: UsersService,
    private readonly credits: CreditsService,
    @InjectOptions() private readonly options: UsersApiOptions,
  ) {}

  onModuleInit(): void {
    const { newUserCredits: amount = 0 } = this.options;
    if (amount === 0) return;
    this.users.onCreated(async ({ id: userId }, manager) => {
      await this.credits.add(
        { userId, amount, transactionId: 'new-user-credit', transactionType: 'NEW_USER_CREDIT' },
        { manager },
      );
    });
  }
}

@Module({
  imports: [CreditsCoreModule, ApiKeysCoreModule],
  controllers: [CreditsController, CreditsAdminController, BalancesController, HoldsController],
  exports: [CreditsCoreModule],
})
export class CreditsModule {}
