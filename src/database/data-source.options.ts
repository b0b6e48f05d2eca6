import { Logger } from '@nestjs/common';
import type { DataSourceOptions } from 'typeorm';
import { PoolClient } from './pool-client.js';
import { MIGRATIONS } from './migrations.js';

export type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** Milliseconds, for whoever does not hurry: a server that accepts and says nothing must not hold a start for ever. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Milliseconds. A request takes two turns at the database, one for its key and one for its work: 2 × (600 + 850) < 3,000. */
const POOL_WAIT_MS = 600;
const STATEMENT_TIMEOUT_MS = 800;
/** Above the server's own time-out: it is for a server that says nothing at all. */
const SILENCE_TIMEOUT_MS = 850;

/** For the application: a pool that gives up in time. */
export const poolOptions = (url: string, poolSize: number): PostgresOptions => ({
  ...dataSourceOptions(url),
  poolSize,
  connectTimeoutMS: POOL_WAIT_MS,
  extra: {
    Client: PoolClient,
    application_name: 'users-api',
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: SILENCE_TIMEOUT_MS,
    keepAlive: true,
  },
});

/** For migrations and commands, which take the time they take. */
export const dataSourceOptions = (url: string): PostgresOptions => ({
  type: 'postgres',
  url,
  migrations: MIGRATIONS,
  migrationsTransactionMode: 'all',
  synchronize: false,
  connectTimeoutMS: CONNECT_TIMEOUT_MS,
  poolErrorHandler: (error: unknown) => {
    new Logger('Database').warn({ err: error }, 'A database connection was lost');
  },
});
