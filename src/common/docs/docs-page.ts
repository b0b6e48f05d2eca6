import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Express, RequestHandler } from 'express';
import { publicBaseOf } from '../http/public-url.js';
import { pageOf } from './page-contents.js';
import { PageFile } from './page-file.js';

const ours = (name: string): string => fileURLToPath(new URL(`./page/${name}`, import.meta.url));
const swaggerUi = (name: string): string => createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`);

/** The files that the page loads, below its path. */
const FILES = {
  'swagger-ui.css': swaggerUi,
  'swagger-ui-bundle.js': swaggerUi,
  'page.css': ours,
  'page.js': ours,
  'icon.svg': ours,
} as const;

/**
 * Serves the documentation page at `/docs`, and the document at `/docs-json`. `/` redirects to the
 * first.
 *
 * @param describe makes the document when it is first asked for, which spares each start some 40 ms
 */
export function serveDocs(app: NestExpressApplication, path: string, describe: () => OpenAPIObject): void {
  const express: Express = app.getHttpAdapter().getInstance();
  let described: OpenAPIObject | undefined;
  const document = (): OpenAPIObject => (described ??= describe());

  const files = Object.entries(FILES).map(
    ([name, locate]) => [name, new PageFile(name, () => readFile(locate(name)))] as const,
  );
  const page = new PageFile('html', async () => {
    const template = await readFile(ours('index.html'), 'utf8');
    const fingerprints = await Promise.all(
      files.map(async ([name, file]) => [name, await file.fingerprint()] as const),
    );
    return Buffer.from(pageOf(template, document(), Object.fromEntries(fingerprints)));
  });

  const redirect: RequestHandler = (request, response) => {
    response.redirect(publicBaseOf(request) + path);
  };
  express.get('/', redirect);
  // Express ignores case and a slash at the end, with which the links of the page lead elsewhere.
  express.get(path, (request, response, next) =>
    request.path === path ? page.send(request, response) : redirect(request, response, next),
  );
  for (const [name, file] of files) express.get(`${path}/${name}`, (request, response) => file.send(request, response));
  express.get(`${path}-json`, (request, response) => {
    const url = publicBaseOf(request);
    const [server] = document().servers ?? [];
    response.json(url === '' ? document() : { ...document(), servers: [{ ...server, url }] });
  });
}
