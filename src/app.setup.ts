import type { DynamicModule, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Logger } from 'pino';
import { AppModule } from './app.module.js';
import { serveConsole } from './common/console/console-page.js';
import { serveDocs } from './common/docs/docs-page.js';
import { describeApi, type DescriptionOptions } from './common/docs/openapi.js';
import { ErrorFilter } from './common/errors/error.filter.js';
import { refuseAmbiguous } from './common/http/ambiguous-requests.js';
import { BoundedExpressAdapter } from './common/http/bounded-express.adapter.js';
import { addressOf } from './common/http/caller-address.js';
import { deadline } from './common/http/deadline.js';
import { serializePipelined } from './common/http/pipelined-requests.js';
import { handleProtocolErrors } from './common/http/protocol-errors.js';
import { PUBLIC_URL_SETTING } from './common/http/public-url.js';
import { securityHeaders } from './common/http/security-headers.js';
import { NestLogger } from './common/logging/logger.js';
import { requestLog } from './common/logging/request-log.js';
import type { AppConfig } from './config/app.config.js';
import { poolOptions } from './database/data-source.options.js';
import type { Tracing } from './tracing/tracing.js';

const DOCS = '/docs';
const CONSOLE = '/console';

export interface AppOptions {
  readonly logger: Logger;
  readonly tracing?: Tracing | undefined;
  /** True for the OpenAPI document: creates no providers, so that no database is needed. */
  readonly preview?: boolean;
}

/** Creates the application without listening. */
export const createApp = (
  config: AppConfig,
  databaseUrl: string,
  options: AppOptions,
): Promise<NestExpressApplication> =>
  createAppOf(AppModule.forRoot(config, poolOptions(databaseUrl, config, options.tracing?.PoolClient)), {
    ...options,
    trustProxy: config.trustProxy,
    publicUrl: config.publicUrl,
    consolePage: config.consolePage,
    apiKeyPrefixes: config.apiKeyPrefixes,
  });

/**
 * Creates an application from any module, with everything between the socket and the controllers.
 */
export async function createAppOf(
  module: Type | DynamicModule,
  {
    logger,
    tracing,
    preview = false,
    trustProxy,
    publicUrl,
    consolePage = false,
    apiKeyPrefixes,
  }: AppOptions & Partial<Pick<AppConfig, 'trustProxy' | 'publicUrl' | 'consolePage' | 'apiKeyPrefixes'>>,
): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(module, new BoundedExpressAdapter(), {
    bodyParser: false, // `JsonBodyGuard` reads bodies, after the other guards
    logger: new NestLogger(logger),
    abortOnError: false,
    preview,
  });
  app.disable('x-powered-by');
  app.disable('etag'); // entity tags come from row versions
  if (trustProxy !== undefined) trustProxies(app, trustProxy);
  app.set(PUBLIC_URL_SETTING, publicUrl);
  app.use(
    serializePipelined,
    ...(tracing ? [tracing.traceRequests] : []),
    requestLog(logger),
    deadline,
    securityHeaders([DOCS, CONSOLE]),
    refuseAmbiguous,
  );
  app.useGlobalFilters(new ErrorFilter());
  handleProtocolErrors(app.getHttpServer());
  serveDocs(app, DOCS, () => documentOf(app, { apiKeyPrefixes }));
  if (consolePage) serveConsole(app, CONSOLE);
  return app;
}

/** The OpenAPI document of an application. */
export const documentOf = (app: NestExpressApplication, options: DescriptionOptions = {}): OpenAPIObject =>
  describeApi(app, options);

/**
 * Adapts the function that Express compiles from `trust proxy`: it expects addresses without a
 * port.
 */
function trustProxies(app: NestExpressApplication, trustProxy: number | string): void {
  app.set('trust proxy', trustProxy);
  const isTrusted = app.getHttpAdapter().getInstance().get('trust proxy fn') as (
    address: string,
    hop: number,
  ) => boolean;
  app.set('trust proxy', (address: string, hop: number) => isTrusted(addressOf(address) ?? address, hop));
}
