import { join } from 'node:path';
import type { BrowserContextOptions, Locator } from 'playwright-core';
import { useTestApp } from '../support/app.js';
import { DESKTOP, findingsOf, LOOKS, type OpenedPage, SCREENSHOTS, useBrowser } from '../support/browser.js';
import { LOW_CONTRASTS } from '../support/contrasts.js';
import { startPrefixProxy } from '../support/prefix-proxy.js';
import { startSlowLine } from '../support/slow-line.js';

describe('The documentation page in Chromium', () => {
  const app = useTestApp();
  const openIn = useBrowser();
  let page: OpenedPage['page'];
  let outside: OpenedPage['outside'];
  let complaints: OpenedPage['complaints'];

  const open = async (
    options: BrowserContextOptions = DESKTOP,
    path = '/docs',
    origin = `http://127.0.0.1:${String(app.port)}`,
  ) => {
    ({ page, outside, complaints } = await openIn(options, origin, path));
  };

  const authorize = async (key: string) => {
    await page.getByRole('button', { name: 'Authorize' }).first().click();
    await page.locator('.auth-container input').fill(key);
    await page.locator('.auth-container').getByRole('button', { name: 'Apply credentials' }).click();
    await page.locator('.modal-ux').getByRole('button', { name: 'Close' }).first().click();
  };
  const opened = async (id: string): Promise<Locator> => {
    const operation = page.locator(`#operations-${id}`);
    await operation.locator('.opblock-summary-control').click();
    await operation.getByRole('button', { name: 'Execute' }).waitFor();
    return operation;
  };
  const executed = async (operation: Locator): Promise<Locator> => {
    await operation.getByRole('button', { name: 'Execute' }).click();
    const answer = operation.locator('.live-responses-table .response');
    await answer.waitFor();
    return answer;
  };
  const patchMe = async (name: string) => {
    const operation = await opened('Users-updateMe');
    await operation.locator('textarea.body-param__text').fill(JSON.stringify({ name }));
    return { operation, answer: await executed(operation) };
  };

  it('takes a key once, renames its user and shows the new name, with nothing from outside', async () => {
    const ada = await app.given.user({ name: 'Ada', email: 'ada@example.com' });
    await open();

    await authorize(ada.key);
    const { answer } = await patchMe('Ada Lovelace');

    expect(await answer.locator('.response-col_status').innerText()).toContain('200');
    expect(await answer.innerText()).toContain('"name": "Ada Lovelace"');
    expect(await app.stored(ada)).toMatchObject({ name: 'Ada Lovelace' });
    expect(outside).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('keeps the key when it is loaded again', async () => {
    const ada = await app.given.user({ name: 'Ada' });
    await open();
    await authorize(ada.key);

    await page.reload();
    const answer = await executed(await opened('Users-getMe'));

    expect(await answer.innerText()).toContain('"name": "Ada"');
  });

  it('shows the 401 of a call without a key, and an example of every failure', async () => {
    await open();

    const { operation, answer } = await patchMe('Ada');

    expect(await answer.locator('.response-col_status').innerText()).toContain('401');
    for (const status of ['400', '401', '412', '413', '415', '500', '503'])
      expect(await operation.locator(`.response[data-code="${status}"]`).last().innerText()).toContain(
        `"status": ${status}`,
      );
    expect(await operation.locator('.opblock-description').innerText()).toContain(
      '412 means that another request has changed the user since, and nothing was written',
    );
  });

  it('executes a list without a filter, and nothing without its path parameter, unless the reader types one', async () => {
    const root = await app.given.user({ isAdmin: true });
    await open();
    await authorize(root.key);
    const sent: string[] = [];
    page.on('request', (request) => sent.push(...(/\/v1\/.*/.exec(request.url()) ?? [])));

    for (const id of ['Billing-listCreditHistory', 'Administration-listUsers', 'Administration-listAuditEvents'])
      await executed(await opened(id));
    const operation = await opened('Administration-getUser');
    await operation.getByRole('button', { name: 'Execute' }).click();
    await operation.locator('input.invalid[placeholder="user_id"]').waitFor();

    expect(sent).toEqual([
      '/v1/billing/credit-history?page=1&items_per_page=20',
      '/v1/users?page=1&items_per_page=20',
      '/v1/audit-events?page=1&items_per_page=20',
    ]);
  });

  it('finds operations by words of their path, summary, id or tag', async () => {
    await open();
    const found = async (words: string): Promise<string[]> => {
      await page.getByRole('searchbox').fill(words);
      return page.evaluate<string[]>(
        `[...document.querySelectorAll('.opblock')].map(({ id }) => id.replace(/^.*-/, ''))`,
      );
    };
    await page.locator('.opblock').first().waitFor();

    expect(await found('api-keys rotate')).toEqual(['rotateApiKeyOfUser', 'rotateApiKey']);
    expect(await found('HISTORY')).toEqual(['listCreditHistory']);
    expect(await found('take credits')).toEqual(['deductCredits', 'captureHold']);
    expect(await found('health')).toEqual(['livez', 'readyz']);
    expect(await found('nothing-like-this')).toEqual([]);
    expect(await page.getByRole('status').innerText()).toBe('No operation matches the search.');
    expect((await found('')).length).toBeGreaterThan(20);
  });

  it('opens an operation by its own link, and has a link for each', async () => {
    await open(DESKTOP, '/docs#/API%20keys/rotateApiKey');
    await page.locator('#operations-API_keys-rotateApiKey.is-open').waitFor();

    await page.getByRole('link', { name: 'Link to updateMe' }).click();
    await page.locator('#operations-Users-updateMe.is-open').waitFor();

    expect(new URL(page.url()).hash).toBe('#/Users/updateMe');
    await page.reload();
    await page.locator('#operations-Users-updateMe.is-open').waitFor();
  });

  it('has a title of its own, and no logo of others', async () => {
    await open();
    await page.locator('.opblock').first().waitFor();

    expect(await page.title()).toBe('Users API');
    expect(await page.locator('img, .topbar, [aria-label*="Swagger"]').count()).toBe(0);
    const icon = await page.locator('link[rel="icon"]').getAttribute('href');
    expect(icon).toMatch(/^\.\/docs\/icon\.svg\?v=/);
  });

  it('lists the operations on a slow line before the scripts are there, and is then complete', async () => {
    const line = await startSlowLine(app.port, 100_000);
    await open(DESKTOP, '/docs#/Users/updateMe', line.url);

    const outline = page.locator('.outline');
    await outline.getByText('/v1/audit-events').waitFor();
    const isEarly = await page.evaluate<boolean>('typeof SwaggerUIBundle === "undefined"');
    await page.locator('#operations-Users-updateMe.is-open').waitFor();

    expect(isEarly).toBe(true);
    expect(await outline.count()).toBe(0);
    expect(outside).toEqual([]);
    expect(complaints).toEqual([]);
    await line.close();
  });

  it('says so where a script cannot be loaded, and still lists the operations', async () => {
    await open(DESKTOP, '/livez');
    await page.route('**/swagger-ui-bundle.js*', (route) => route.abort());

    await page.goto(`http://127.0.0.1:${String(app.port)}/docs`);

    expect(await page.locator('#status').innerText()).toBe(
      'A part of this page could not be loaded. Load the page again.',
    );
    expect(await page.locator('.outline').innerText()).toContain('PATCH /v1/users/me Update current user information');
  });

  it('sends requests below a prefix that a proxy removes, which the app need not know', async () => {
    const ada = await app.given.user({ name: 'Ada' });
    const proxy = await startPrefixProxy(app.port, '/accounts', { names: false });
    await open(DESKTOP, '/accounts/docs', new URL(proxy.url).origin);
    await authorize(ada.key);

    const { operation, answer } = await patchMe('Ada Lovelace');

    expect(await answer.innerText()).toContain('"name": "Ada Lovelace"');
    expect(await operation.locator('.request-url').innerText()).toContain(`${proxy.url}/v1/users/me`);
    expect(await app.stored(ada)).toMatchObject({ name: 'Ada Lovelace' });
    expect(outside).toEqual([]);
    await proxy.close();
  });

  it('follows a change of the colour scheme', async () => {
    await open({ ...DESKTOP, colorScheme: 'light' });
    await page.locator('.opblock').first().waitFor();

    await page.emulateMedia({ colorScheme: 'dark' });

    await page.locator('html.dark-mode').waitFor();
    expect(await page.evaluate<string[]>(LOW_CONTRASTS)).toEqual([]);
  });

  describe.each(LOOKS)('on a %s in the %s scheme', (device, colorScheme, options) => {
    /** What reaches beyond the screen, or beyond the frame of its operation. */
    const overflow = (): Promise<string[]> =>
      page.evaluate(`[...document.querySelectorAll('body *')]
        .filter((element) => {
          const frame = element.closest('.opblock') ?? document.documentElement;
          return element.getBoundingClientRect().right > frame.getBoundingClientRect().right + 1;
        })
        .map(({ outerHTML }) => outerHTML.slice(0, 80))`);

    it('can be read and is no wider than the screen, with dialogs, operations and responses open', async () => {
      const root = await app.given.user({ isAdmin: true });
      await open({ ...options, colorScheme });
      await page.locator('.opblock').first().waitFor();
      const closed = await findingsOf(page);
      await page.getByRole('button', { name: 'Authorize' }).first().click();
      await page.locator('.modal-ux').waitFor();
      const dialog = await findingsOf(page);
      await page.locator('.modal-ux').getByRole('button', { name: 'Close' }).first().click();
      await authorize(root.key);

      await patchMe('Ada Lovelace');
      await executed(await opened('Billing-listCreditHistory'));
      const unsent = await opened('API_keys-revokeApiKey');
      await unsent.getByRole('button', { name: 'Execute' }).click();
      for (const id of ['Users-updateMe', 'Billing-listCreditHistory'])
        await page.locator(`#operations-${id}`).getByText('Schema', { exact: true }).first().click();
      await page.locator('.model-container').last().getByRole('button').first().click();

      expect({ closed, dialog, open: await findingsOf(page) }).toEqual({ closed: [], dialog: [], open: [] });
      expect(await overflow()).toEqual([]);
      expect(complaints).toEqual([]);
    }, 180_000); // axe takes its time on a page with so much open

    it('can be read before its scripts have run', async () => {
      await open({ ...options, colorScheme }, '/livez');
      await page.route('**/*.js?*', (route) => route.abort());

      await page.goto(`http://127.0.0.1:${String(app.port)}/docs`);
      await page.locator('.outline').waitFor();

      expect(await findingsOf(page)).toEqual([]);
      expect(await overflow()).toEqual([]);
    });

    if (SCREENSHOTS)
      it('is drawn for the documentation, with a request that has been executed', async () => {
        const ada = await app.given.user({ name: 'Ada', email: `ada@${device}-${colorScheme}.example.com` });
        await open({ ...options, colorScheme });
        await authorize(ada.key);
        const { answer } = await patchMe('Ada Lovelace');

        await page.evaluate('document.activeElement.blur(); scrollTo(0, 0)');
        await page.screenshot({
          path: join(SCREENSHOTS, `docs-${device}-${colorScheme}.png`),
          fullPage: true,
          clip: { x: 0, y: 0, width: options.viewport?.width ?? 0, height: 1700 },
          mask: [page.locator('.curl-command')], // has the key in it
          maskColor: '#41444e',
        });

        expect(await answer.innerText()).toContain('"name": "Ada Lovelace"');
      });
  });
});
