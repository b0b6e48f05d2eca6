import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { useTestApp } from '../support/app.js';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

describe('The documentation page in Chromium', () => {
  const app = useTestApp();
  let browser: Browser;
  let page: Page;
  let outside: string[];
  let complaints: string[];

  beforeAll(async () => {
    if (!existsSync(CHROMIUM)) throw new Error(`There is no ${CHROMIUM}: install Chromium, or name it in CHROMIUM`);
    // Chromium has no sandbox for root.
    browser = await chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: process.getuid?.() !== 0 });
  });
  afterAll(async () => {
    await browser.close();
  });
  beforeEach(async () => {
    const origin = `http://127.0.0.1:${String(app.port)}`;
    page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    outside = [];
    complaints = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith('data:')) outside.push(request.url());
    });
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${origin}/docs`);
  });
  afterEach(async () => {
    await page.close();
  });

  const patchMe = async (name: string) => {
    const operation = page.locator('#operations-Users-updateMe');
    await operation.locator('.opblock-summary-control').click();
    await operation.locator('textarea.body-param__text').fill(JSON.stringify({ name }));
    await operation.getByRole('button', { name: 'Execute' }).click();
    const answer = operation.locator('.live-responses-table .response');
    await answer.waitFor();
    return { operation, answer };
  };

  it('takes a key once, renames its user and shows the new name, with nothing from outside', async () => {
    const ada = await app.given.user({ name: 'Ada' });

    await page.getByRole('button', { name: 'Authorize' }).click();
    await page.locator('.auth-container input').fill(ada.key);
    await page.locator('.auth-container').getByRole('button', { name: 'Apply credentials' }).click();
    await page.locator('.modal-ux').getByRole('button', { name: 'Close' }).first().click();
    const { answer } = await patchMe('Ada Lovelace');

    expect(await answer.locator('.response-col_status').innerText()).toContain('200');
    expect(await answer.innerText()).toContain('"name": "Ada Lovelace"');
    if (process.env.SCREENSHOT) {
      await answer.scrollIntoViewIfNeeded();
      await page.screenshot({ path: process.env.SCREENSHOT });
    }
    expect(await app.stored(ada)).toMatchObject({ name: 'Ada Lovelace' });
    expect(outside).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('shows the 401 of a call without a key, and an example of every failure', async () => {
    const { operation, answer } = await patchMe('Ada');

    expect(await answer.locator('.response-col_status').innerText()).toContain('401');
    for (const status of ['400', '401', '412', '413', '415', '500', '503'])
      expect(await operation.locator(`.response[data-code="${status}"]`).last().innerText()).toContain(
        `"status": ${status}`,
      );
    expect(await operation.locator('.opblock-description').innerText()).toContain(
      '412 means that somebody has changed the user since, and nothing was written',
    );
    expect(outside).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
