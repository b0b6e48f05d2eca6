import { type DynamicModule, Inject, Module, type OnModuleInit } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { APPLICATION } from '../common/audit/actor.js';
import { UsersModule } from '../users/users.module.js';
import { UsersService } from '../users/users.service.js';
import { CreditEntry } from './credit-entry.entity.js';
import { CreditsController } from './credits.controller.js';
import { CreditsRepository } from './credits.repository.js';
import { CreditsService } from './credits.service.js';

const SIGNUP_CREDITS = Symbol('the credits that each new user gets');

@Module({})
export class CreditsModule implements OnModuleInit {
  /** @param signupCredits what each new user gets, as an entry, in the transaction that makes the user; 0 for nothing */
  static forRoot({ signupCredits }: { readonly signupCredits: number }): DynamicModule {
    return {
      module: CreditsModule,
      imports: [TypeOrmModule.forFeature([CreditEntry]), ApiKeysModule, UsersModule],
      controllers: [CreditsController],
      providers: [CreditsService, CreditsRepository, { provide: SIGNUP_CREDITS, useValue: signupCredits }],
      exports: [CreditsService],
    };
  }

  constructor(
    private readonly users: UsersService,
    private readonly credits: CreditsService,
    @Inject(SIGNUP_CREDITS) private readonly signupCredits: number,
  ) {}

  onModuleInit(): void {
    const amount = this.signupCredits;
    if (amount === 0) return;
    this.users.onCreated(async ({ id: userId }, manager) => {
      await this.credits.add(
        { userId, amount, transactionId: 'new-user-credit', transactionType: 'NEW_USER_CREDIT' },
        APPLICATION,
        manager,
      );
    });
  }
}
