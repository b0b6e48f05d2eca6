import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Logger } from 'pino';
import { AppModule } from '../app.module.js';
import { createLogger, NestLogger } from '../common/logging/logger.js';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { dataSourceOptions } from '../database/data-source.options.js';
import { openDatabase } from '../database/open-database.js';
import { say } from './output.js';

/** Runs one piece of work with the application's services, on the same database, without listening. */
export async function withApp<T>(work: (app: INestApplicationContext) => Promise<T>): Promise<T> {
  readDotEnv();
  const config = new AppConfig(process.env, process.stderr.isTTY);
  const logger = await createLogger({ ...config.log, level: 'warn' }, 2);
  const database = await openDatabase(config, false, say);
  try {
    return await withDatabase(config, database.url, logger, work);
  } finally {
    await database.close();
  }
}

async function withDatabase<T>(
  config: AppConfig,
  url: string,
  logger: Logger,
  work: (app: INestApplicationContext) => Promise<T>,
): Promise<T> {
  const atOnce = { ...config, shutdownDrainMs: 0 }; // nobody calls a command
  const options = dataSourceOptions(url, config.transactionPooler);
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(atOnce, options), {
    logger: new NestLogger(logger),
    abortOnError: false,
  });
  try {
    return await work(app);
  } finally {
    await app.close();
  }
}
