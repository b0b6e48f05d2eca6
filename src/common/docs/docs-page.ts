import { NotFoundException } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';

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

/** Serves Swagger UI at a path such as `/docs`, and the document at `/docs-json`. */
export function serveDocs(app: NestExpressApplication, path: string, document: OpenAPIObject): void {
  app.use(path, (request: { path: string }, _response: unknown, next: (error?: unknown) => void) => {
    next(PARTS.has(request.path) ? undefined : new NotFoundException());
  });
  SwaggerModule.setup(path, app, document, {
    raw: ['json'],
    customSiteTitle: 'Users API',
    swaggerOptions: { tryItOutEnabled: true, validatorUrl: null },
  });
}
