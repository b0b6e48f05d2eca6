import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { type FingerprintOf, filled, servePage } from '../pages/served-page.js';

const ours = (name: string): Promise<Buffer> => readFile(new URL(`./static/${name}`, import.meta.url));

/** A module in whose imports each URL has the fingerprint of its file, as in the HTML. */
const ourModule = async (name: string, fingerprintOf: FingerprintOf): Promise<Buffer> => {
  const source = String(await ours(name));
  return Buffer.from(await filled(source.replaceAll(/ from '\.\/(.+)'/g, " from './$1?v={{$1}}'"), fingerprintOf));
};

/** The file for browsers. Node.js resolves the package name to a different file, in `node`. */
const litHtml = (name: string): Promise<Buffer> =>
  readFile(join(dirname(createRequire(import.meta.url).resolve('lit-html')), '..', name));

/** The files that the page loads, below its path. */
const FILES = {
  'lit-html.js': litHtml,
  'api.js': ourModule,
  'balance-curve.js': ourModule,
  'view.js': ourModule,
  'user.js': ourModule,
  'app.js': ourModule,
  'console.css': ours,
  'icon.svg': ours,
};

/**
 * Serves the page for operators. The page contains no data and no secret: it calls the API with the
 * key that the operator types.
 */
export function serveConsole(app: NestExpressApplication, path: string): void {
  servePage(app.getHttpAdapter().getInstance(), {
    path,
    files: FILES,
    html: async (fingerprintOf) => filled(String(await ours('index.html')), fingerprintOf),
  });
}
