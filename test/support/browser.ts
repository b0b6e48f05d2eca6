import { existsSync } from 'node:fs';
import axe from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { LOW_CONTRASTS } from './contrasts.js';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** The directory for pictures of the pages; without it, none are made. */
export const SCREENSHOTS = process.env.SCREENSHOTS ?? '';

export const DESKTOP: BrowserContextOptions = { viewport: { width: 1280, height: 900 } };
export const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 844 }, isMobile: true };

export const LOOKS = [
  ['desktop', 'light', DESKTOP],
  ['desktop', 'dark', DESKTOP],
  ['phone', 'light', PHONE],
  ['phone', 'dark', PHONE],
] as const;

export interface OpenedPage {
  readonly page: Page;
  /** URLs of requests to other servers. */
  readonly outside: string[];
  /** Violations of the content security policy, and errors of scripts. */
  readonly complaints: string[];
}

/**
 * Chromium for the tests of one suite. Each test has a profile of its own.
 *
 * @returns what opens a page in a browser without any history
 */
export function useBrowser(): (options: BrowserContextOptions, origin: string, path: string) => Promise<OpenedPage> {
  let browser: Browser;
  beforeAll(async () => {
    if (!existsSync(CHROMIUM)) throw new Error(`There is no ${CHROMIUM}: install Chromium, or name it in CHROMIUM`);
    // Chromium has no sandbox for root.
    browser = await chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: process.getuid?.() !== 0 });
  });
  afterAll(async () => {
    await browser.close();
  });
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
  });

  return async (options, origin, path) => {
    const page = await (await browser.newContext(options)).newPage();
    const outside: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith('data:')) outside.push(request.url());
    });
    page.on('console', (message) => {
      if (message.text().includes('Content Security Policy')) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${origin}${path}`, { waitUntil: 'commit' });
    return { page, outside, complaints };
  };
}

/** Serious and critical findings of axe, and texts that are too pale. */
export async function findingsOf(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  return [
    ...serious.flatMap(({ id, nodes }) => nodes.map(({ target, html }) => `${id} ${String(target)} ${html}`)),
    ...(await page.evaluate<string[]>(LOW_CONTRASTS)),
  ];
}
