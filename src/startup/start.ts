import { createApp } from '../app.setup.js';
import { OperatorError } from '../common/errors/operator.error.js';
import { createLogger } from '../common/logging/logger.js';
import { AppConfig, readDotEnv } from '../config/app.config.js';
import { misspelledVariables } from '../config/misspelled-variables.js';
import { MetricsServer } from '../metrics/metrics.server.js';
import { openDatabase, retryUntilAvailable } from './open-database.js';
import { bootstrapLogLine, firstStartBanner } from '../onboarding/greeting.js';
import { OnboardingService } from '../onboarding/onboarding.service.js';
import type { StopSignal } from './stop-signal.js';

/**
 * Opens the database, listens, and creates the first administrator. Exits with status 1 on a
 * failure.
 */
export async function start(stop: StopSignal): Promise<void> {
  try {
    await open(stop);
  } catch (error) {
    if (stop.isStopping) return; // parts that are being closed may fail, and the process exits by itself
    const { message, stack, code } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
    // Errors of the system or the database need no stack either. Other fields of an error are not
    // printed: they may contain parameters.
    const isExplained = error instanceof OperatorError || typeof code === 'string';
    // Only an exit closes what a failed start has left open, and it would discard output that a
    // pipe has not accepted yet.
    process.stderr.write(`${(isExplained ? message : stack) ?? String(error)}\n`, () => process.exit(1));
  }
}

async function open(stop: StopSignal): Promise<void> {
  readDotEnv();
  const config = new AppConfig(process.env);
  const logger = await createLogger({ level: config.logLevel, pretty: config.logPretty });
  for (const warning of misspelledVariables(process.env)) logger.warn(warning);
  const { tracesProtocol } = config;
  const tracing =
    tracesProtocol === undefined
      ? undefined
      : (await import('../tracing/tracing.js')).startTracing(tracesProtocol, logger);
  const log = (message: string): void => {
    logger.info(message);
  };
  const database = await openDatabase(config, true, log);

  const app = await retryUntilAvailable(database.url, log, () => createApp(config, database.url, { logger, tracing }));
  const { host: HOST, port: PORT } = config;
  await app.listen(PORT, HOST).catch(explainedBy({ HOST, PORT }));
  stop.with(async () => {
    await app.close();
    await tracing?.shutdown();
  }, config.shutdownDrainMs);
  if (config.metricsPort !== undefined) {
    const { metricsPort: METRICS_PORT } = config;
    const metrics = app.get(MetricsServer, { strict: false });
    const port = await metrics.listen(METRICS_PORT, HOST).catch(explainedBy({ HOST, METRICS_PORT }));
    logger.info(`Metrics on port ${String(port)}`);
  }

  // Only now, because the key is shown once: a start that fails on a busy port must not have
  // created it.
  const url = await app.getUrl();
  const { bootstrapAdminEmail: email, bootstrapAdminKey: secret, bootstrapAdminKeyDays: days } = config;
  const onboarding = app.get(OnboardingService);
  const created = await retryUntilAvailable(database.url, log, () =>
    onboarding.createFirstAdministrator(email, { secret, days }),
  );
  if (created && secret === undefined) process.stdout.write(firstStartBanner(url, email, created));
  else if (created) logger.info(bootstrapLogLine(email, created.key));
  logger.info(`The database is in ${database.place}, the documentation at ${url}/docs`);
  logger.info(`Listening on ${url}`);
}

/** Adds the variables of the listening address to the message of the system. */
const explainedBy =
  (variables: Readonly<Record<string, string | number>>) =>
  (error: unknown): never => {
    const given = Object.entries(variables).map(([name, value]) => `${name}=${String(value)}`);
    throw new CannotListenError(`Cannot listen with ${given.join(', ')}: ${(error as Error).message}`);
  };

class CannotListenError extends OperatorError {}
