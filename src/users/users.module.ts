import { Module } from '@nestjs/common';
import { ApiKeysCoreModule } from '../api-keys/api-keys.module.js';
import { CountersModule } from '../common/counters/counters.module.js';
import { EventsModule } from '../events/events.module.js';
import { UsersAdminController } from './users.admin.controller.js';
import { UsersController } from './users.controller.js';
import { UserSearchTexts } from './user-search-texts.service.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

@Module({
  imports: [CountersModule, EventsModule],
  providers: [UsersService, UsersRepository, UserSearchTexts],
  exports: [UsersService],
})
export class UsersCoreModule {}

@Module({
  imports: [UsersCoreModule, ApiKeysCoreModule],
  controllers: [UsersController, UsersAdminController],
  exports: [UsersCoreModule],
})
export class UsersModule {}
