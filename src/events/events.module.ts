import { Module } from '@nestjs/common';
import { UsersApiEvents } from './users-api-events.js';

/** Gives every feature the one `UsersApiEvents` of its application. */
@Module({ providers: [UsersApiEvents], exports: [UsersApiEvents] })
export class EventsModule {}
