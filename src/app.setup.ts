import type { NestExpressApplication } from '@nestjs/platform-express';
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';
import { API_KEY_SCHEME } from './api-keys/authenticated.decorator.js';
import type { AppConfig } from './config/app.config.js';
import { serveDocs } from './common/docs/docs-page.js';
import { describeApi } from './common/docs/openapi.js';
import { ErrorFilter } from './common/errors/error.filter.js';
import { deadline } from './common/http/deadline.js';
import { addressOf } from './common/http/caller-address.js';
import { refuseAmbiguous } from './common/http/ambiguous-requests.js';
import { serializePipelined } from './common/http/pipelined-requests.js';
import { handleProtocolErrors } from './common/http/protocol-errors.js';
import { securityHeaders } from './common/http/security-headers.js';
import { requestLog } from './common/logging/request-log.js';

/** What `NestFactory.create` must be told for `setUpApp`: bodies are read behind the guards, by `JsonBodyGuard`. */
export const APP_OPTIONS = { bodyParser: false } as const;

const DOCS = '/docs';

/** Everything between the socket and the controllers. Called by `main.ts` and by every end-to-end test. */
export function setUpApp(
  app: NestExpressApplication,
  logger: Logger,
  { trustProxy }: Partial<Pick<AppConfig, 'trustProxy'>> = {},
  trace?: RequestHandler,
): void {
  app.disable('x-powered-by');
  app.disable('etag'); // ours come from row versions
  if (trustProxy !== undefined) trustProxies(app, trustProxy);
  app.use(
    serializePipelined,
    ...(trace ? [trace] : []),
    requestLog(logger),
    deadline,
    securityHeaders(DOCS),
    refuseAmbiguous,
  );
  app.useGlobalFilters(new ErrorFilter());
  handleProtocolErrors(app.getHttpServer());
  serveDocs(app, DOCS, () => describeApi(app, API_KEY_SCHEME));
}

/** Express compiles what it is told into a function, which knows a proxy only by an address without a port. */
function trustProxies(app: NestExpressApplication, trustProxy: number | string): void {
  app.set('trust proxy', trustProxy);
  const isTrusted = app.getHttpAdapter().getInstance().get('trust proxy fn') as (
    address: string,
    hop: number,
  ) => boolean;
  app.set('trust proxy', (address: string, hop: number) => isTrusted(addressOf(address) ?? address, hop));
}
