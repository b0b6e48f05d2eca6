import { Logger } from '@nestjs/common';
import pg from 'pg';
import type { DataSourceOptions } from 'typeorm';
import {
  IDLE_IN_TRANSACTION_TIMEOUT_MS,
  LOCK_TIMEOUT_MS,
  POOL_WAIT_MS,
  STATEMENT_TIMEOUT_MS,
} from '../common/time-limits.js';
import { UnsuitableHostError } from '../common/errors/unsuitable-host.error.js';
import { destinationProblem } from '../config/one-server.js';
import { BoundedPool } from './bounded-pool.js';
import { MIGRATIONS } from './migrations.js';
import { PoolClient } from './pool-client.js';
import { SessionClient } from './session-client.js';
import { COMMAND_SETTINGS, POOLED_SETTINGS, SESSION_SETTINGS } from './session-settings.js';

export type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** Connect timeout of migrations and commands (ms). */
const CONNECT_TIMEOUT_MS = 5_000;

/** Timeouts of each session of the application (ms). */
export const SESSION_TIMEOUTS = {
  lock_timeout: LOCK_TIMEOUT_MS,
  statement_timeout: STATEMENT_TIMEOUT_MS,
  idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
} as const;

export interface PoolSettings {
  readonly databasePoolSize: number;
  /** Whether the URL leads to a pooler in transaction mode, which forwards few session settings. */
  readonly transactionPooler: boolean;
}

/**
 * A class of `pg` clients, without the types of `pg`, which a host application may not have
 * installed.
 */
type Connections = abstract new (...options: never[]) => object;

/**
 * Options of the application's pool, whose waits have timeouts.
 *
 * @param Client the class of its connections
 * @throws UnsuitableHostError for a URL with what `pg` does not support, such as several hosts
 */
export const poolOptions = (
  url: string,
  { databasePoolSize, transactionPooler }: PoolSettings,
  Client: Connections = PoolClient,
): PostgresOptions => ({
  ...dataSourceOptions(oneServer(url), transactionPooler),
  poolSize: databasePoolSize,
  connectTimeoutMS: POOL_WAIT_MS,
  driver: { ...pg, Pool: BoundedPool },
  extra: {
    Client,
    application_name: 'users-api',
    ...(transactionPooler ? {} : SESSION_TIMEOUTS),
    sessionSettings: transactionPooler ? POOLED_SETTINGS : SESSION_SETTINGS,
    namedStatements: !transactionPooler, // a pooler may use another session for the next run: see `Statement`
    keepAlive: true,
  },
});

function oneServer(url: string): string {
  const problem = destinationProblem({ url });
  if (problem !== undefined) throw new UnsuitableHostError(`The URL for poolOptions ${problem}.`);
  return url;
}

/**
 * Options for migrations and commands, whose statements have no timeout.
 *
 * @param transactionPooler see `PoolSettings`; true also if that is unknown
 */
export const dataSourceOptions = (url: string, transactionPooler = true): PostgresOptions => ({
  type: 'postgres',
  driver: pg, // TypeORM would load another copy in addition to that of a bundle
  url,
  migrations: MIGRATIONS,
  migrationsTransactionMode: 'each',
  synchronize: false,
  installExtensions: false, // TypeORM would create an extension for `@PrimaryGeneratedColumn('uuid')`, which no id needs
  connectTimeoutMS: CONNECT_TIMEOUT_MS,
  extra: { Client: SessionClient, sessionSettings: transactionPooler ? POOLED_SETTINGS : COMMAND_SETTINGS },
  poolErrorHandler: (error: unknown) => {
    new Logger('Database').warn({ err: error }, 'A database connection was lost');
  },
});
