import { Module } from '@nestjs/common';
import { JobsController } from './jobs.controller.js';
import { JobsService } from './jobs.service.js';

/** Imports nothing of users-api: what that module lends is there for every module. */
@Module({
  controllers: [JobsController],
  providers: [JobsService],
})
export class JobsModule {}
