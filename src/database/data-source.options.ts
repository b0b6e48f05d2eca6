import { Logger } from '@nestjs/common';
import pg from 'pg';
import type { DataSourceOptions } from 'typeorm';
import { BoundedPool } from './bounded-pool.js';
import { MIGRATIONS } from './migrations.js';
import { PoolClient } from './pool-client.js';
import { SessionClient } from './session-client.js';
import { COMMAND_SETTINGS, POOLED_SETTINGS, SESSION_SETTINGS } from './session-settings.js';

export type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

/** Milliseconds, for whoever does not hurry: a server that accepts and says nothing must not hold a start for ever. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Milliseconds. Most requests take two turns at the database, one for their key and one for their work. */
const POOL_WAIT_MS = 600;

/**
 * What a session of the application's does not outwait, in milliseconds. A row that somebody holds is given up before the
 * whole statement, and a transaction that we left open (a process that hangs) is ended, so that it holds nobody up.
 */
export const SESSION_TIMEOUTS = {
  lock_timeout: 700,
  statement_timeout: 800,
  idle_in_transaction_session_timeout: 5_000,
} as const;

export interface PoolSettings {
  readonly databasePoolSize: number;
  /** True where the URL leads to a pooler that lends a session for one transaction only: it carries hardly a setting. */
  readonly transactionPooler: boolean;
}

/** A class of `pg` clients; no type of `pg`, whose types an application that imports us may not have. */
type Connections = abstract new (...options: never[]) => object;

/**
 * For the application: a pool that gives up in time.
 *
 * @param Client what its connections are made of
 */
export const poolOptions = (
  url: string,
  { databasePoolSize, transactionPooler }: PoolSettings,
  Client: Connections = PoolClient,
): PostgresOptions => ({
  ...dataSourceOptions(url, transactionPooler),
  poolSize: databasePoolSize,
  connectTimeoutMS: POOL_WAIT_MS,
  driver: { ...pg, Pool: BoundedPool },
  extra: {
    Client,
    application_name: 'users-api',
    ...(transactionPooler ? {} : SESSION_TIMEOUTS),
    sessionSettings: transactionPooler ? POOLED_SETTINGS : SESSION_SETTINGS,
    namedStatements: !transactionPooler, // see `Statement`; a pooler may lend another session for the next run
    keepAlive: true,
  },
});

/**
 * For migrations and commands, which take the time they take.
 *
 * @param transactionPooler see `PoolSettings`; true also where that is not known
 */
export const dataSourceOptions = (url: string, transactionPooler = true): PostgresOptions => ({
  type: 'postgres',
  url,
  migrations: MIGRATIONS,
  migrationsTransactionMode: 'each',
  synchronize: false,
  installExtensions: false, // no id needs one, while TypeORM would make one for `@PrimaryGeneratedColumn('uuid')`
  connectTimeoutMS: CONNECT_TIMEOUT_MS,
  extra: { Client: SessionClient, sessionSettings: transactionPooler ? POOLED_SETTINGS : COMMAND_SETTINGS },
  poolErrorHandler: (error: unknown) => {
    new Logger('Database').warn({ err: error }, 'A database connection was lost');
  },
});
