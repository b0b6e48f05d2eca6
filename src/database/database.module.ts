import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ENTITIES } from '../entities.js';
import type { PostgresOptions } from './data-source.options.js';
import { mayRecover } from './unusable-database.js';

/** The connection pool. The start of the process has found the database and run the migrations. */
@Module({})
export class DatabaseModule {
  static forRoot(options: PostgresOptions): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRoot({
          ...options,
          entities: ENTITIES,
          retryAttempts: 3,
          retryDelay: 1_000,
          toRetry: mayRecover,
        }),
      ],
    };
  }
}
