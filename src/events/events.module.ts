import { Module } from '@nestjs/common';
import { UsersApiEvents } from './users-api-events.js';

/** Provides the one `UsersApiEvents` of the application to every feature. */
@Module({ providers: [UsersApiEvents], exports: [UsersApiEvents] })
export class EventsModule {}
