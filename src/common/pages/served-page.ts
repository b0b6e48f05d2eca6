import type { Express, Request, RequestHandler } from 'express';
import { publicBaseOf } from '../http/public-url.js';
import { PageFile } from './page-file.js';

const PLACEHOLDER = /\{\{([^}]+)\}\}/g;

/**
 * Returns the fingerprint of a file of the page, for a URL with `?v=`. Files must not refer to each
 * other in a cycle.
 */
export type FingerprintOf = (name: string) => Promise<string>;

export interface Page {
  /** The path of the page, without a trailing slash. Its files are below it. */
  readonly path: string;
  /** The files that the page loads, each with the function that reads it at its first request. */
  readonly files: Readonly<Record<string, (name: string, fingerprintOf: FingerprintOf) => Promise<Buffer>>>;
  /** Creates the HTML of the page. */
  readonly html: (fingerprintOf: FingerprintOf) => Promise<string>;
}

/**
 * Serves a page, and the files that it loads.
 *
 * @returns the handler that redirects to the page
 */
export function servePage(express: Express, { path, files, html }: Page): RequestHandler {
  const served = new Map<string, PageFile>();
  const fingerprintOf: FingerprintOf = (name) => {
    const file = served.get(name);
    if (!file) throw new Error(`The page at ${path} names the file ${name}, which it does not have`);
    return file.fingerprint();
  };
  for (const [name, read] of Object.entries(files)) {
    const file = new PageFile(name, () => read(name, fingerprintOf));
    served.set(name, file);
    express.get(`${path}/${name}`, (request, response) => file.send(request, response));
  }

  const page = new PageFile('html', async () => Buffer.from(await html(fingerprintOf)));
  const redirect: RequestHandler = (request: Request, response) => {
    response.redirect(publicBaseOf(request) + path);
  };
  // Express ignores letter case and a trailing slash, but they break the relative links of the
  // page.
  express.get(path, (request, response, next) =>
    request.path === path ? page.send(request, response) : redirect(request, response, next),
  );
  return redirect;
}

/** Replaces each `{{name}}` of a template. */
export async function filled(template: string, valueOf: (name: string) => string | Promise<string>): Promise<string> {
  const names = new Set([...template.matchAll(PLACEHOLDER)].map(([, name = '']) => name));
  const values = new Map(await Promise.all([...names].map(async (name) => [name, await valueOf(name)] as const)));
  return template.replaceAll(PLACEHOLDER, (_, name: string) => values.get(name) ?? '');
}
