import { BadRequestException, Body, Controller, Get, Post } from '@nestjs/common';
import { Authenticated, CurrentUser, type Principal } from '@users-api/server';
import type { Job } from './job.entity.js';
import { JobsService } from './jobs.service.js';

@Authenticated()
@Controller('jobs')
export class JobsController {
  constructor(private readonly jobs: JobsService) {}

  @Post()
  start(@CurrentUser() caller: Principal, @Body('prompt') prompt: unknown): Promise<Job> {
    if (typeof prompt !== 'string') throw new BadRequestException('A job needs a prompt');
    return this.jobs.start(prompt, caller);
  }

  @Get()
  list(@CurrentUser() caller: Principal): Promise<Job[]> {
    return this.jobs.list(caller);
  }
}
