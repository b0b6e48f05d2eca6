import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { poolOptions } from './data-source.options.js';

/** The one pool of connections. Whoever starts the process has found the database and brought its schema up to date. */
@Module({})
export class DatabaseModule {
  static forRoot({ url, poolSize }: { readonly url: string; readonly poolSize: number }): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRoot({
          ...poolOptions(url, poolSize),
          autoLoadEntities: true,
          retryAttempts: 3,
          retryDelay: 1_000,
        }),
      ],
    };
  }
}
