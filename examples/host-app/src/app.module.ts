import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ENTITIES, MIGRATIONS, UsersApiModule } from '@users-api/server';
import { CreateJobs1767226000000 } from './jobs/create-jobs.migration.js';
import { Job } from './jobs/job.entity.js';
import { JobsModule } from './jobs/jobs.module.js';

@Module({
  imports: [
    TypeOrmModule.forRoot({
      type: 'postgres',
      url: process.env.DATABASE_URL!,
      entities: [...ENTITIES, Job],
      migrations: [...MIGRATIONS, CreateJobs1767226000000],
      migrationsRun: true,
    }),
    UsersApiModule.forRoot({ newUserCredits: Number(process.env.NEW_USER_CREDITS ?? 0), rateLimitPerMinute: 600 }),
    JobsModule,
  ],
})
export class AppModule {}
