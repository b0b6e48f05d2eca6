import { NotFoundException } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { RequestHandler } from 'express';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { MethodNotAllowedError } from '../http/route-miss.js';

/** What the page is made of, below its path. Its library would serve its whole package, `package.json` and all. */
const PARTS = new Set([
  '/',
  '/index.html',
  '/swagger-ui-init.js',
  '/swagger-ui-bundle.js',
  '/swagger-ui-standalone-preset.js',
  '/swagger-ui.css',
  '/favicon-16x16.png',
  '/favicon-32x32.png',
]);

const METHODS = ['GET', 'HEAD'];

/**
 * Serves Swagger UI at a path such as `/docs`, and the document at `/docs-json`.
 *
 * @param describe makes the document when it is first asked for, which spares each start some 40 ms
 */
export function serveDocs(app: NestExpressApplication, path: string, describe: () => OpenAPIObject): void {
  const refuseOthers: RequestHandler = (request, _response, next) => {
    if (!PARTS.has(request.path)) next(new NotFoundException());
    else next(METHODS.includes(request.method) ? undefined : new MethodNotAllowedError(METHODS));
  };
  app.use(path, refuseOthers);
  SwaggerModule.setup(path, app, describe, {
    raw: ['json'],
    customSiteTitle: 'Users API',
    swaggerOptions: { tryItOutEnabled: true, validatorUrl: null },
  });
}
