import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { CreditsService, type Principal } from '@users-api/server';
import { Job } from './job.entity.js';

/** Credits. */
const PRICE = 10;

@Injectable()
export class JobsService {
  constructor(
    private readonly database: DataSource,
    private readonly credits: CreditsService,
  ) {}

  /** A job and its price commit together or not at all: without the credits there is no job. */
  start(prompt: string, caller: Principal): Promise<Job> {
    return this.database.transaction(async (manager) => {
      const job = await manager.save(Job, { userId: caller.userId, prompt });
      const price = {
        userId: caller.userId,
        amount: PRICE,
        transactionId: job.id,
        transactionType: 'FINE_TUNING_JOB',
      } as const;
      await this.credits.spend(price, { by: caller, manager });
      return job;
    });
  }

  list({ userId }: Principal): Promise<Job[]> {
    return this.database.getRepository(Job).find({ where: { userId }, order: { createdAt: 'DESC' } });
  }
}
