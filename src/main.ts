import './database/javascript-client.js';
import { inspect } from 'node:util';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { APP_OPTIONS, setUpApp } from './app.setup.js';
import { collectWhenIdle } from './collect-when-idle.js';
import { BoundedExpressAdapter } from './common/http/bounded-express.adapter.js';
import { createLogger, NestLogger } from './common/logging/logger.js';
import { AppConfig, InvalidEnvironmentError, readDotEnv } from './config/app.config.js';
import { poolOptions } from './database/data-source.options.js';
import { MetricsServer } from './metrics/metrics.server.js';
import { openDatabase, untilAvailable, UnusableDatabaseError } from './database/open-database.js';
import { EmbeddedPostgresError } from './database/embedded/embedded-postgres.error.js';
import { UnsuitableSettingsError } from './database/session-settings.js';
import { PendingMigrationsError } from './database/run-migrations.js';
import { bootstrapped, greet } from './onboarding/greeting.js';
import { OnboardingService } from './onboarding/onboarding.service.js';
import { handleFailedOutput } from './standard-streams.js';
import { onStopSignal } from './stop-signal.js';

async function start(): Promise<void> {
  const stop = onStopSignal();
  readDotEnv();
  const config = new AppConfig(process.env);
  const logger = await createLogger(config.log);
  const tracing = config.traces
    ? (await import('./tracing/tracing.js')).startTracing(config.traces.protocol, logger)
    : undefined;
  const log = (message: string): void => {
    logger.info(message);
  };
  const database = await openDatabase(config, true, log);

  const app = await NestFactory.create<NestExpressApplication>(
    AppModule.forRoot(config, poolOptions(database.url, config, tracing?.PoolClient)),
    new BoundedExpressAdapter(),
    {
      ...APP_OPTIONS,
      logger: new NestLogger(logger),
      abortOnError: false,
    },
  );
  setUpApp(app, logger, config, tracing?.traceRequests);
  await app.listen(config.port, config.host);
  stop.with(async () => {
    await app.close();
    await tracing?.shutdown();
  }, config.shutdownDrainMs);
  if (config.metricsPort !== undefined) {
    const port = await app.get(MetricsServer, { strict: false }).listen(config.metricsPort, config.host);
    logger.info(`Metrics on port ${String(port)}`);
  }

  // Only now, since a start that fails on a busy port must not use up the one time that the key is shown.
  const url = await app.getUrl();
  const { email, key: secret, keyDays: days } = config.bootstrapAdmin;
  const onboarding = app.get(OnboardingService);
  const created = await untilAvailable(log, () => onboarding.createFirstAdministrator(email, { secret, days }));
  if (created && secret === undefined) process.stdout.write(greet(url, email, created));
  else if (created) logger.info(bootstrapped(email, created.key));
  logger.info(`The database is in ${database.place}, the documentation at ${url}/docs`);
  logger.info(`Listening on ${url}`);
  collectWhenIdle();
}

handleFailedOutput();
start().catch((error: unknown) => {
  // What the system or the database says needs no stack; a bug does.
  const explained =
    error instanceof InvalidEnvironmentError ||
    error instanceof EmbeddedPostgresError ||
    error instanceof PendingMigrationsError ||
    error instanceof UnsuitableSettingsError ||
    error instanceof UnusableDatabaseError;
  const said = typeof (error as { code?: unknown } | null)?.code === 'string';
  // Only an exit ends what a failed start has left open, and it would discard what a pipe has not taken yet.
  process.stderr.write(`${explained || said ? (error as Error).message : inspect(error)}\n`, () => process.exit(1));
});
