import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { AppModule } from '../app.module.js';
import { createLogger, NestLogger } from '../common/logging/logger.js';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { misspelledVariables } from '../config/misspelled-variables.js';
import { dataSourceOptions } from '../database/data-source.options.js';
import { openDatabase } from '../startup/open-database.js';
import { NOT_ALLOWED, refuseMissingPrivileges, TABLES } from '../database/privileges.js';
import { say } from './output.js';

/**
 * Runs one piece of work with the application's services, on the same database, without listening.
 */
export async function withApp<T>(work: (app: INestApplicationContext) => Promise<T>): Promise<T> {
  readDotEnv();
  const config = new AppConfig(process.env, process.stderr.isTTY);
  const logger = await createLogger({ level: 'warn', pretty: config.logPretty }, 2);
  for (const warning of misspelledVariables(process.env)) say(warning);
  const database = await openDatabase(config, false, say);
  try {
    return await withDatabase(config, database.url, logger, work);
  } finally {
    await database.close();
  }
}

/** Like `withApp`, on the database of a URL, which is not migrated. */
export async function withDatabase<T>(
  config: AppConfig,
  url: string,
  logger: Logger,
  work: (app: INestApplicationContext) => Promise<T>,
): Promise<T> {
  const atOnce = { ...config, shutdownDrainMs: 0 }; // a command has no HTTP traffic to drain
  const options = dataSourceOptions(url, config.transactionPooler);
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(atOnce, options), {
    logger: new NestLogger(logger),
    abortOnError: false,
  });
  try {
    return await work(app);
  } catch (error) {
    if ((error as { code?: unknown }).code === NOT_ALLOWED) await refuseMissingPrivileges(app.get(DataSource), TABLES);
    throw error;
  } finally {
    await app.close();
  }
}
