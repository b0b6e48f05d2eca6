import { NotFoundException } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Express, Request, RequestHandler } from 'express';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { MethodNotAllowedError } from '../http/route-miss.js';

type Operation = NonNullable<OpenAPIObject['paths'][string]['get']>;

/**
 * What the page is made of, below its path. Its library would serve its whole package,
 * `package.json` and all.
 */
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
 * Its colours are too pale to read (WCAG 2, 1.4.3), and the pattern of a name and a column of
 * links, of which there are none, are wider than a telephone.
 */
const STYLE = `
  .swagger-ui .opblock .opblock-summary-method { text-shadow: none }
  .swagger-ui .opblock.opblock-get .opblock-summary-method { background: #1b5e9e }
  .swagger-ui .opblock.opblock-post .opblock-summary-method { background: #1b6b43 }
  .swagger-ui .opblock.opblock-patch .opblock-summary-method { background: #0b6b63 }
  .swagger-ui .opblock.opblock-delete .opblock-summary-method { background: #b3261e }
  .swagger-ui .btn.authorize { color: #1b6b43; border-color: #1b6b43 }
  .swagger-ui .btn.authorize svg { fill: #1b6b43 }
  .swagger-ui .opblock .btn.execute { background: #1b5e9e; border-color: #1b5e9e }
  .swagger-ui a.nostyle, .swagger-ui .info a { color: #1b5e9e }
  .swagger-ui .response-col_links { display: none }
  .swagger-ui .prop-format, .swagger-ui .property, .swagger-ui .model { overflow-wrap: anywhere }
`;

/**
 * Serves Swagger UI at a path such as `/docs`, and the document at `/docs-json`. `/` redirects to
 * the first.
 *
 * @param describe makes the document when it is first asked for, which spares each start some 40 ms
 */
export function serveDocs(app: NestExpressApplication, path: string, describe: () => OpenAPIObject): void {
  const refuseOthers: RequestHandler = (request, _response, next) => {
    if (!PARTS.has(request.path)) next(new NotFoundException());
    else next(METHODS.includes(request.method) ? undefined : new MethodNotAllowedError(METHODS));
  };
  app.use(path, refuseOthers);
  const express: Express = app.getHttpAdapter().getInstance();
  express.get('/', (_request, response) => {
    response.redirect(path);
  });
  SwaggerModule.setup(path, app, describe, {
    raw: ['json'],
    customSiteTitle: 'Users API',
    customCss: STYLE,
    swaggerOptions: { tryItOutEnabled: true, validatorUrl: null },
    patchDocumentOnRequest: (request, _response, document) =>
      (request as Request).path.endsWith('.js') ? withoutOptionalExamples(document) : document,
  });
}

/**
 * The document for the page, which fills in the examples of parameters: those that may be absent
 * would filter every list.
 */
function withoutOptionalExamples(document: OpenAPIObject): OpenAPIObject {
  const copy = structuredClone(document);
  for (const path of Object.values(copy.paths))
    for (const operation of Object.values(path) as Partial<Operation>[])
      for (const parameter of operation.parameters ?? [])
        if (!('$ref' in parameter) && !parameter.required) delete parameter.example;
  return copy;
}
