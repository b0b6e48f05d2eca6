import type { OpenAPIObject } from '@nestjs/swagger';
import { startTestApp, type TestApp } from './support/app.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { freePort } from './support/ports.js';
import { type PrefixProxy, startPrefixProxy } from './support/prefix-proxy.js';

const PREFIX = '/accounts';

/** The links of the responses to a caller, each as it stands in its response. */
async function linksOf(app: TestApp, url: string, headers: Record<string, string> = {}) {
  const { key } = await app.given.user({ isAdmin: true });
  const call = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`${url}${path}`, {
      redirect: 'manual',
      ...init,
      headers: { ...headers, 'x-api-key': key, 'content-type': 'application/json' },
    });
  const body = (name: string) => JSON.stringify({ name, expires_at: '2099-01-01T00:00:00Z' });
  const made = await call('/v1/api-keys', { method: 'POST', body: body('laptop') });
  await call('/v1/api-keys', { method: 'POST', body: body('phone') });
  const list = await call('/v1/api-keys?items_per_page=1');
  const [, next = ''] = /<(.*)>/.exec(list.headers.get('link') ?? '') ?? [];
  const { servers = [] } = (await (await call('/docs-json')).json()) as OpenAPIObject;
  return {
    location: made.headers.get('location'),
    next: next.replace(/\?.*/, ''),
    root: (await call('/')).headers.get('location'),
    docs: (await call('/docs/')).headers.get('location'),
    console: (await call('/console/')).headers.get('location'),
    server: servers[0]?.url,
    /** The statuses of the links that a caller follows from where it found them. */
    followed: await Promise.all(
      (
        [
          [made, made.headers.get('location')],
          [list, next],
        ] as const
      ).map(async ([{ url: from }, to]) => {
        const response = await fetch(new URL(to ?? '', from), { headers: { 'x-api-key': key } });
        return response.status;
      }),
    ),
  };
}

const expected = (base: string) => ({
  location: `${base}/v1/api-keys/laptop`,
  next: `${base}/v1/api-keys`,
  root: `${base}/docs`,
  docs: `${base}/docs`,
  console: `${base}/console`,
  server: base || '/',
});

describe('Links in responses', () => {
  let database: TestDatabase;
  let app: TestApp;
  let proxy: PrefixProxy | undefined;
  beforeEach(async () => {
    database = await createDatabase();
    proxy = undefined;
  });
  afterEach(async () => {
    await proxy?.close();
    await app.close();
    await database.drop();
  });

  const url = () => `http://127.0.0.1:${String(app.port)}`;

  it('lead below PUBLIC_URL, through a proxy that removes its path', async () => {
    const port = await freePort();
    const publicUrl = `http://127.0.0.1:${String(port)}${PREFIX}`;
    app = await startTestApp(database.url, { PUBLIC_URL: `${publicUrl}/` });
    proxy = await startPrefixProxy(app.port, PREFIX, { names: false, listen: port });

    expect(await linksOf(app, proxy.url)).toEqual({ ...expected(publicUrl), followed: [200, 200] });
  });

  it('lead below the prefix that a trusted proxy removes and names', async () => {
    app = await startTestApp(database.url, { TRUST_PROXY: 'loopback' });
    proxy = await startPrefixProxy(app.port, PREFIX, { names: true });

    expect(await linksOf(app, proxy.url)).toEqual({ ...expected(PREFIX), followed: [200, 200] });
  });

  it('are those of the app for a prefix that a caller names, whom nothing trusts', async () => {
    app = await startTestApp(database.url, { TRUST_PROXY: '10.0.0.0/8' });

    const links = await linksOf(app, url(), { 'x-forwarded-prefix': PREFIX });

    expect(links).toEqual({ ...expected(''), followed: [200, 200] });
  });

  it.each(['//evil.example', '/\\evil.example', 'https://evil.example', '/..', '/%0d%0aSet-Cookie:x', '/a, /b'])(
    'are those of the app for the prefix %s, although the proxy is trusted',
    async (prefix) => {
      app = await startTestApp(database.url, { TRUST_PROXY: '1' });

      const links = await linksOf(app, url(), { 'x-forwarded-prefix': prefix });

      expect(links).toEqual({ ...expected(''), followed: [200, 200] });
    },
  );
});
