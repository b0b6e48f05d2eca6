import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { APP_OPTIONS, setUpApp } from './app.setup.js';
import { createLogger, NestLogger } from './common/logging/logger.js';
import { AppConfig, InvalidEnvironmentError, readDotEnv } from './config/app.config.js';
import { openDatabase } from './database/open-database.js';
import { EmbeddedPostgresError } from './database/embedded/embedded-postgres.error.js';
import { PendingMigrationsError } from './database/run-migrations.js';
import { greet } from './onboarding/greeting.js';
import { OnboardingService } from './onboarding/onboarding.service.js';
import { onStopSignal } from './stop-signal.js';

async function start(): Promise<void> {
  const stop = onStopSignal();
  readDotEnv();
  const config = new AppConfig(process.env);
  const logger = await createLogger(config.log);
  const databaseUrl = await openDatabase(config, true, (message) => {
    logger.info(message);
  });

  const app = await NestFactory.create<NestExpressApplication>(AppModule.forRoot(config, databaseUrl), {
    ...APP_OPTIONS,
    logger: new NestLogger(logger),
    abortOnError: false,
  });
  setUpApp(app, logger);
  const { email, key } = config.bootstrapAdmin;
  const secret = await app.get(OnboardingService).createFirstAdministrator(email, key);
  await app.listen(config.port, config.host);
  stop.with(() => app.close());

  const url = await app.getUrl();
  if (secret !== null && key === undefined) process.stdout.write(greet(url, email, secret));
  logger.info(`Listening on ${url}`);
}

start().catch((error: unknown) => {
  const explained = [InvalidEnvironmentError, EmbeddedPostgresError, PendingMigrationsError].some(
    (known) => error instanceof known,
  );
  console.error(explained ? (error as Error).message : error);
  process.exit(1);
});
