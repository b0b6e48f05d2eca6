import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Express } from 'express';
import { publicBaseOf } from '../http/public-url.js';
import { filled, servePage } from '../pages/served-page.js';
import { partsOf } from './page-contents.js';

const ours = (name: string): Promise<Buffer> => readFile(fileURLToPath(new URL(`./page/${name}`, import.meta.url)));
const swaggerUi = (name: string): Promise<Buffer> =>
  readFile(createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`));

/** The files that the page loads, below its path. */
const FILES = {
  'swagger-ui.css': swaggerUi,
  'swagger-ui-bundle.js': swaggerUi,
  'page.css': ours,
  'page.js': ours,
  'icon.svg': ours,
};

/**
 * Serves the documentation page at `/docs`, and the document at `/docs-json`. `/` redirects to the
 * page.
 *
 * @param describe creates the document at its first request, which saves some 40 ms at each start
 */
export function serveDocs(app: NestExpressApplication, path: string, describe: () => OpenAPIObject): void {
  const express: Express = app.getHttpAdapter().getInstance();
  let described: OpenAPIObject | undefined;
  const document = (): OpenAPIObject => (described ??= describe());

  const toPage = servePage(express, {
    path,
    files: FILES,
    html: async (fingerprintOf) => {
      const parts = partsOf(document());
      return filled(String(await ours('index.html')), (name) => parts.get(name) ?? fingerprintOf(name));
    },
  });
  express.get('/', toPage);
  express.get(`${path}-json`, (request, response) => {
    const url = publicBaseOf(request);
    const [server] = document().servers ?? [];
    response.json(url === '' ? document() : { ...document(), servers: [{ ...server, url }] });
  });
}
