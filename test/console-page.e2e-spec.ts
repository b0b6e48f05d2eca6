import { readFile } from 'node:fs/promises';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import { createDatabase } from './support/database.js';

const MODULES = ['lit-html.js', 'api.js', 'view.js', 'balance-curve.js', 'user.js', 'app.js'];
const FILES = [...MODULES, 'console.css', 'icon.svg'];

/** On a busy machine, the first compression of a file may exceed the deadline of the request. */
const fetchedFrom = async (app: TestApp, path: string, encoding = 'identity'): Promise<Response> => {
  const response = await fetch(`http://127.0.0.1:${String(app.port)}${path}`, {
    headers: { 'accept-encoding': encoding },
    redirect: 'manual',
  });
  return response.status === 503 ? fetchedFrom(app, path, encoding) : response;
};

describe('The page at /console', () => {
  const app = useTestApp();
  const fetched = (path: string, encoding?: string) => fetchedFrom(app, path, encoding);
  const urlsOf = (html: string): string[] =>
    [...html.matchAll(/(?:src|href)="\.\/(console\/[^"]+)"/g)].map(([, url = '']) => `/${url}`);
  const page = async () => (await fetched('/console')).text();

  it('200 with all that it loads, from this server alone', async () => {
    const html = await page();

    const responses = await Promise.all(urlsOf(html).map((url) => fetched(url)));

    expect(
      urlsOf(html)
        .map((url) => url.replace(/\/console\/|\?.*/g, ''))
        .sort(),
    ).toEqual([...FILES].sort());
    expect(responses.map(({ status }) => status)).toEqual(FILES.map(() => 200));
    expect(html).not.toMatch(/(src|href)="(https?:|\/)|\{\{/);
  });

  it('has the content security policy of /docs', async () => {
    const [ours, theirs] = await Promise.all(['/console', '/docs'].map(async (path) => (await fetched(path)).headers));

    expect(ours?.get('content-security-policy')).toContain("default-src 'none'");
    expect(ours?.get('content-security-policy')).toBe(theirs?.get('content-security-policy'));
    expect(ours?.get('content-type')).toBe('text/html; charset=utf-8');
    expect((await fetched('/console/app.js')).headers.get('content-type')).toBe('text/javascript; charset=utf-8');
  });

  it('is smaller than 60,000 bytes with all that it loads, and than 20,000 compressed', async () => {
    const total = async (encoding?: string): Promise<number> => {
      const paths = ['/console', ...FILES.map((name) => `/console/${name}`)];
      const sizes = paths.map(async (path) => Number((await fetched(path, encoding)).headers.get('content-length')));
      return (await Promise.all(sizes)).reduce((sum, size) => sum + size);
    };

    expect(await total()).toBeGreaterThan(30_000); // each has a length
    expect(await total()).toBeLessThan(60_000);
    expect(await total('br')).toBeLessThan(20_000);
    expect(await total('gzip')).toBeLessThan(20_000);
  });

  it('loads each module by one URL, with its fingerprint, which is kept for ever', async () => {
    const inHtml = urlsOf(await page()).filter((url) => url.includes('.js?'));
    const imported = await Promise.all(
      MODULES.map(async (name) => {
        const source = await (await fetched(`/console/${name}`)).text();
        return [...source.matchAll(/ from '\.\/([^']+)'/g)].map(([, url = '']) => `/console/${url}`);
      }),
    );

    expect(new Set(imported.flat()).size).toBe(MODULES.length - 1); // all but the first one to run
    expect(imported.flat().filter((url) => !inHtml.includes(url))).toEqual([]);
    for (const url of inHtml) {
      const policies = [url, url.replace(/\?.*/, ''), url.replace(/v=.*/, 'v=other')].map(
        async (path) => (await fetched(path)).headers.get('cache-control') ?? '',
      );
      expect(await Promise.all(policies)).toEqual(['public, max-age=31536000, immutable', 'no-cache', 'no-cache']);
    }
    expect((await fetched('/console')).headers.get('cache-control')).toBe('no-cache');
  });

  it.each(MODULES.slice(1))('serves %s as it is in the sources, but for the fingerprints', async (name) => {
    const served = await (await fetched(`/console/${name}`)).text();

    expect(served.replaceAll(/\?v=[\w-]{16}'/g, "'")).toBe(await readFile(`src/common/console/static/${name}`, 'utf8'));
  });

  it.each(['/console', '/console/console.css', '/console/app.js'])('304 for %s while it is the same', async (path) => {
    const { headers } = await app.anyone().get(path);

    const repeated = await app
      .anyone()
      .get(path)
      .set('If-None-Match', headers.etag ?? '');

    expect([repeated.status, repeated.text]).toEqual([304, '']);
  });

  it.each(['/console/', '/CONSOLE', '/Console/'])('302 leads from %s to the page', async (path) => {
    const response = await fetched(path);

    expect([response.status, response.headers.get('location')]).toEqual([302, '/console']);
  });

  it.each(['index.html', 'package.json', 'node/lit-html.js', 'lit-html.js.map', '..%2fconsole-page.js'])(
    '404 for %s, which is no part of the page',
    async (file) => {
      const response = await app.anyone().get(`/console/${file}`);

      expect(response.status).toBe(404);
      expect(response.body).toEqual({ status: 404, message: 'No such route' });
    },
  );

  it('404 where CONSOLE_PAGE is false, with the documentation as before', async () => {
    const database = await createDatabase();
    const without = await startTestApp(database.url, { CONSOLE_PAGE: 'false' });

    const statuses = await Promise.all(
      ['/console', '/console/', '/console/app.js', '/docs'].map(
        async (path) => (await fetchedFrom(without, path)).status,
      ),
    );

    expect(statuses).toEqual([404, 404, 404, 200]);
    await without.close();
    await database.drop();
  });
});
