import { Logger } from '@nestjs/common';
import type { DataSourceOptions } from 'typeorm';
import { MIGRATIONS } from './migrations.js';

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** Milliseconds. Together they keep an answer within 3 s, whatever the database does. */
const POOL_WAIT_MS = 1_000;
const STATEMENT_TIMEOUT_MS = 1_500;
/** Above the server's own time-out: it is for a server that says nothing at all. */
const SILENCE_TIMEOUT_MS = 1_900;

/** For the application: a pool that gives up in time. */
export const poolOptions = (url: string, poolSize: number): PostgresOptions => ({
  ...dataSourceOptions(url),
  poolSize,
  connectTimeoutMS: POOL_WAIT_MS,
  extra: {
    application_name: 'users-api',
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: SILENCE_TIMEOUT_MS,
    keepAlive: true,
  },
});

/** For migrations, which take the time they take. */
export const dataSourceOptions = (url: string): PostgresOptions => ({
  type: 'postgres',
  url,
  migrations: MIGRATIONS,
  migrationsTransactionMode: 'all',
  synchronize: false,
  poolErrorHandler: (error: unknown) => {
    new Logger('Database').warn({ err: error }, 'A database connection was lost');
  },
});
