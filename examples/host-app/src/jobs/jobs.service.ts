import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { CreditsService, type Principal } from '@users-api/server';
import { Job } from './job.entity.js';
import { MAX_COST, MAX_DURATION, train } from './training.js';

/** Seconds; longer than the longest job, so that no hold expires before its job has ended. */
const HELD_FOR = 2 * MAX_DURATION;

@Injectable()
export class JobsService {
  constructor(
    private readonly database: DataSource,
    private readonly credits: CreditsService,
  ) {}

  /**
   * Holds the most that a job can cost, works, and then takes what it has cost. Without the credits
   * there is no work, a failure takes nothing, and after a crash the hold expires.
   */
  async start(prompt: string, caller: Principal): Promise<Job> {
    const { userId } = caller;
    const id = randomUUID();
    const { hold } = await this.credits.hold(
      {
        userId,
        amount: MAX_COST,
        transactionId: id,
        transactionType: 'FINE_TUNING_JOB',
        expiresInSeconds: HELD_FOR,
      },
      { by: caller },
    );
    try {
      const { cost } = await train(prompt);
      // The job and its price commit together or not at all.
      return await this.database.transaction(async (manager) => {
        await this.credits.capture(hold.id, cost, { by: caller, manager });
        return manager.save(Job, { id, userId, prompt, cost });
      });
    } catch (error) {
      await this.credits.release(hold.id, { by: caller }).catch(() => undefined); // if not, it expires
      throw error;
    }
  }

  list({ userId }: Principal): Promise<Job[]> {
    return this.database.getRepository(Job).find({ where: { userId }, order: { createdAt: 'DESC' } });
  }
}
