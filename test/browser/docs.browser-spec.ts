import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
import { useTestApp } from '../support/app.js';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Run in the page: the contrast of each text with what it stands on. */
const CONTRASTS = `(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const [r, g, b, a = 1] = channels(getComputedStyle(element).backgroundColor);
    const under = a === 1 ? [0, 0, 0] : background(element.parentElement);
    return [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  };
  return ['.opblock-get .opblock-summary-method', '.opblock-post .opblock-summary-method',
    '.opblock-patch .opblock-summary-method', '.opblock-delete .opblock-summary-method',
    '.btn.authorize', '.btn.execute'].map((selector) => {
      const element = document.querySelector(selector);
      const [one, other] = [channels(getComputedStyle(element).color), background(element)].map(luminance);
      return [selector, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)];
    });
})()`;

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
    const ada = await app.given.user({ name: 'Ada', email: 'ada@example.com' });

    await page.getByRole('button', { name: 'Authorize' }).click();
    await page.locator('.auth-container input').fill(ada.key);
    await page.locator('.auth-container').getByRole('button', { name: 'Apply credentials' }).click();
    await page.locator('.modal-ux').getByRole('button', { name: 'Close' }).first().click();
    const { answer } = await patchMe('Ada Lovelace');

    expect(await answer.locator('.response-col_status').innerText()).toContain('200');
    expect(await answer.innerText()).toContain('"name": "Ada Lovelace"');
    if (process.env.SCREENSHOT) {
      const clip = { x: 0, y: 0, width: 1280, height: 2000 };
      const mask = [page.locator('.curl-command')]; // has the key in it
      await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true, clip, mask, maskColor: '#41444e' });
    }
    expect(await app.stored(ada)).toMatchObject({ name: 'Ada Lovelace' });
    expect(outside).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('can be read: labels and buttons stand out enough (WCAG 2, 1.4.3), and nothing is wider than a telephone', async () => {
    await page.locator('#operations-Users-updateMe .opblock-summary-control').click();
    await page.locator('#operations-Users-updateMe').getByText('Schema', { exact: true }).first().click();
    const contrasts = await page.evaluate<[string, number][]>(CONTRASTS);
    await page.setViewportSize({ width: 390, height: 800 });
    const overflow = await page.evaluate<number>(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );

    expect(contrasts).toHaveLength(6);
    for (const [what, contrast] of contrasts)
      expect(`${what} ${contrast.toFixed(1)}`).toMatch(/ (4\.[5-9]|[5-9]\.|1\d\.|2\d\.)/);
    expect(overflow).toBe(0);
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
