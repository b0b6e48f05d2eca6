import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ENTITIES } from '../entities.js';
import type { PostgresOptions } from './data-source.options.js';
import { mayRecover } from './unusable-database.js';

/** The one pool of connections. Whoever starts the process has found the database and brought its schema up to date. */
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
