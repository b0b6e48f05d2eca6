import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { PostgresOptions } from './data-source.options.js';
import { mayRecover } from './unusable-database.js';

type EntityClass = new () => object;

/** The connection pool. The database was found and migrated before, at the start of the process. */
@Module({})
export class DatabaseModule {
  /** @param entities every table of the features */
  static forRoot(options: PostgresOptions, entities: readonly EntityClass[]): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRoot({
          ...options,
          entities: [...entities],
          retryAttempts: 3,
          retryDelay: 1_000,
          toRetry: mayRecover,
        }),
      ],
    };
  }
}
