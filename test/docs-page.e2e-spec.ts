import { readFile } from 'node:fs/promises';
import type { OpenAPIObject } from '@nestjs/swagger';
import { useTestApp } from './support/app.js';

const FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'page.css', 'page.js', 'icon.svg'];

describe('The page at /docs', () => {
  const app = useTestApp();

  /** On a busy machine, the first compression of a file may exceed the deadline of the request. */
  const fetched = async (path: string, encoding = 'identity'): Promise<Response> => {
    const response = await fetch(`http://127.0.0.1:${String(app.port)}${path}`, {
      headers: { 'accept-encoding': encoding },
      redirect: 'manual',
    });
    return response.status === 503 ? fetched(path, encoding) : response;
  };
  const urlsOf = (html: string): string[] =>
    [...html.matchAll(/(?:src|href)="\.\/(docs\/[^"]+)"/g)].map(([, url = '']) => `/${url}`);
  const documentIn = (html: string): OpenAPIObject => {
    const [, json = ''] = /<script type="application\/json" id="document">(.*?)<\/script>/s.exec(html) ?? [];
    return JSON.parse(json) as OpenAPIObject;
  };

  it('200 with all that it loads, from this server alone', async () => {
    const html = await (await fetched('/docs')).text();
    const urls = urlsOf(html);

    const statuses = await Promise.all(urls.map(async (url) => (await fetched(url)).status));

    expect(urls.map((url) => url.replace(/\/docs\/|\?.*/g, '')).sort()).toEqual([...FILES].sort());
    expect(statuses).toEqual(FILES.map(() => 200));
    expect(html).not.toMatch(/(src|href)="(https?:|\/)/);
  });

  it('runs scripts of this server alone, none of them inline, and calls no other server', async () => {
    const { headers } = await fetched('/docs');
    const policy = headers.get('content-security-policy');

    expect(policy).toContain("default-src 'none'");
    expect(policy).toMatch(/script-src 'self'(;|$)/);
    expect(policy).toMatch(/style-src 'self'(;|$)/);
    expect(policy).toMatch(/connect-src 'self'(;|$)/);
    expect(policy).toMatch(/frame-ancestors 'none'(;|$)/);
  });

  // One page would decide for the whole domain, and for all domains below it.
  it('leaves Strict-Transport-Security to the proxy', async () => {
    for (const path of ['/docs', '/docs/page.js'])
      expect((await fetched(path)).headers.has('strict-transport-security')).toBe(false);
  });

  it.each(['package.json', 'index.js', 'absolute-path.js', 'README.md', '%70ackage.json', '/package.json', 'docs/'])(
    '404 for %s, which is in the package of Swagger UI, and no part of the page',
    async (file) => {
      const response = await app.anyone().get(`/docs/${file}`);

      expect(response.status).toBe(404);
      expect(response.body).toEqual({ status: 404, message: 'No such route' });
    },
  );

  it.each(['/', '/docs/', '/DOCS', '/Docs/'])('302 leads from %s to the page', async (path) => {
    const response = await fetched(path);

    expect([response.status, response.headers.get('location')]).toEqual([302, '/docs']);
  });

  it('is compressed: less than 450 kB with all that it loads', async () => {
    const sizeOf = async (path: string, encoding: string): Promise<number> => {
      const { headers } = await fetched(path, encoding);
      expect(headers.get('content-encoding')).toBe(encoding);
      expect(headers.get('vary')).toBe('Accept-Encoding');
      return Number(headers.get('content-length'));
    };
    const total = async (encoding: string): Promise<number> => {
      const paths = ['/docs', ...FILES.map((name) => `/docs/${name}`)];
      return (await Promise.all(paths.map((path) => sizeOf(path, encoding)))).reduce((sum, size) => sum + size);
    };

    expect(await total('br')).toBeLessThan(430_000);
    expect(await total('gzip')).toBeLessThan(490_000);
  });

  it.each(['br', 'gzip'])('has the same content in the encoding %s', async (encoding) => {
    const response = await fetched('/docs/page.js', encoding); // which decodes it

    expect(await response.text()).toBe(await readFile('src/common/docs/page/page.js', 'utf8'));
  });

  it('prefers brotli, wherever the caller names it, and sends no encoding that a caller refuses', async () => {
    expect((await fetched('/docs', 'gzip, deflate, br')).headers.get('content-encoding')).toBe('br');
    expect((await fetched('/docs', 'gzip, br;q=0')).headers.get('content-encoding')).toBe('gzip');
    expect((await fetched('/docs', 'identity')).headers.has('content-encoding')).toBe(false);
  });

  it('is kept for ever by its fingerprint, and asked for again without or with another one', async () => {
    for (const url of urlsOf(await (await fetched('/docs')).text())) {
      const policies = [url, url.replace(/\?.*/, ''), url.replace(/v=.*/, 'v=other')].map(
        async (path) => (await fetched(path)).headers.get('cache-control') ?? '',
      );

      expect(await Promise.all(policies)).toEqual(['public, max-age=31536000, immutable', 'no-cache', 'no-cache']);
    }
    expect((await fetched('/docs')).headers.get('cache-control')).toBe('no-cache');
  });

  it.each(['/docs', '/docs/page.css'])('304 for %s while it is the same', async (path) => {
    const { headers } = await app.anyone().get(path);

    const repeated = await app
      .anyone()
      .get(path)
      .set('If-None-Match', headers.etag ?? '');

    expect([repeated.status, repeated.text]).toEqual([304, '']);
  });

  it('contains the published document, whose examples fill in no parameter', async () => {
    const html = await (await fetched('/docs')).text();
    const published = (await app.anyone().get('/docs-json')).body as OpenAPIObject;

    const contained = documentIn(html);
    const parameters = Object.values(contained.paths).flatMap(({ get, post, patch, delete: remove }) =>
      [get, post, patch, remove].flatMap((operation) => operation?.parameters ?? []),
    );

    expect(contained.components).toEqual(published.components);
    expect(Object.keys(contained.paths)).toEqual(Object.keys(published.paths));
    expect(parameters.length).toBeGreaterThan(20);
    expect(JSON.stringify(parameters)).not.toContain('"example"');
    expect(JSON.stringify(parameters)).toContain('The first day, in UTC. Example: `2026-01-31`');
  });

  it('lists every operation before a script has run', async () => {
    const html = await (await fetched('/docs')).text();
    const { paths } = (await app.anyone().get('/docs-json')).body as OpenAPIObject;

    for (const path of Object.keys(paths)) expect(html).toContain(`<code>${path}</code>`);
    expect(html).toContain('<a href="#/Users/updateMe"><b>PATCH</b> <code>/v1/users/me</code></a>');
  });
});
