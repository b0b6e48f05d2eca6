import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContextOptions } from 'playwright-core';
import { useTestApp } from '../support/app.js';
import { DESKTOP, findingsOf, LOOKS, type OpenedPage, SCREENSHOTS, useBrowser } from '../support/browser.js';
import type { GivenUser } from '../support/given.js';
import { startPrefixProxy } from '../support/prefix-proxy.js';

/** All that the page needs: docs/operations.md makes a key with these scopes. */
const SCOPES = [...readFileSync('docs/operations.md', 'utf8').matchAll(/--scope (ua:\S+)/g)].map(
  ([, scope = '']) => scope,
);

describe('The page for operators in Chromium', () => {
  const app = useTestApp();
  const openIn = useBrowser();
  let page: OpenedPage['page'];
  let outside: OpenedPage['outside'];
  let complaints: OpenedPage['complaints'];

  const origin = () => `http://127.0.0.1:${String(app.port)}`;
  const open = async (options: BrowserContextOptions = DESKTOP, path = '/console', from = origin()) => {
    ({ page, outside, complaints } = await openIn(options, from, path));
  };
  const enter = async (key: string) => {
    await page.getByLabel('API key of an administrator').fill(key);
    await page.getByRole('button', { name: 'Continue' }).click();
  };
  /** Opens the page with the key of a new administrator. */
  const enterAsRoot = async (options?: BrowserContextOptions, path?: string): Promise<GivenUser> => {
    const root = await app.given.user({ name: 'Root', isAdmin: true });
    await open(options, path);
    await enter(root.key);
    await page.getByRole('button', { name: 'Forget the key' }).waitFor();
    return root;
  };
  const find = async (text: string) => {
    await page.getByRole('searchbox').fill(text);
    const answered = page.waitForResponse(/\/v1\/users/);
    await page.getByRole('button', { name: 'Find' }).click();
    await answered;
  };
  const found = (name: string) => page.locator('#users').getByRole('link', { name });
  const section = (name: string) => page.getByRole('region', { name });
  const alert = () => page.getByRole('alert');

  const keyOf = async (owner: GivenUser, name: string, scopes: readonly string[] | null): Promise<string> => {
    const body = { name, expires_at: '2099-01-01T00:00:00Z', scopes };
    const response = await app.as(owner).post('/v1/api-keys').send(body);
    return (response.body as { secret: string }).secret;
  };
  const addCredits = async (user: GivenUser, ...amounts: readonly number[]) => {
    const root = await app.given.user({ isAdmin: true });
    for (const amount of amounts)
      await app
        .as(root)
        .post('/v1/billing/credits-add')
        .send({ user_id: user.id, amount, transaction_id: `order-${String(amount)}` });
  };
  const statusOf = async (key: string): Promise<number> =>
    (await app.anyone().get('/v1/users/me').set('x-api-key', key)).status;
  const entriesOf = (user: GivenUser): Promise<unknown[]> =>
    app.rows('SELECT credits FROM credit_entries WHERE user_id = $1 ORDER BY created_at', [user.id]);

  const DAY_BY_DAY = `now() - interval '1 day' *
    (SELECT count(*) + 0.6 FROM credit_entries later WHERE later.user_id = credit_entries.user_id AND later.id > credit_entries.id)`;
  /** Moves entries of the ledger into the past. */
  const backdate = (user: GivenUser, createdAt: string) =>
    app.given.sql(
      `ALTER TABLE credit_entries DISABLE TRIGGER ALL;
      UPDATE credit_entries SET created_at = ${createdAt} WHERE user_id = '${user.id}';
      ALTER TABLE credit_entries ENABLE TRIGGER ALL`,
    );

  it('finds a user and shows its profile, keys, last uses, credits and audit trail, with nothing from outside', async () => {
    const ada = await app.given.user({ name: 'Ada Lovelace', email: 'ada.lovelace@example.com' });
    await addCredits(ada, 1200, 34);
    await app.as(ada).patch('/v1/users/me').send({ name: 'Ada King' });
    await app.given.sql("UPDATE api_keys SET last_used_at = now() - interval '185 s' WHERE user_id = $1", [ada.id]);
    await enterAsRoot();

    await find('ada.love');
    await found('Ada King').click();
    await page.getByRole('heading', { name: 'Ada King', level: 1 }).waitFor();

    expect(await page.locator('.profile').innerText()).toMatch(/ada\.lovelace@example\.com[^]*ACTIVE[^]*User/);
    await section('API keys').getByText('Last used').waitFor();
    expect(await section('API keys').innerText()).toMatch(
      new RegExp(
        `${ada.key.slice(0, 8)}… ACTIVE[^]*Last used\\n\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\s+3 minutes ago`,
      ),
    );
    await section('Credits').getByText('+34').waitFor();
    expect(await section('Credits').innerText()).toMatch(/Balance\n1,234\nHeld\n0\nAvailable\n1,234/);
    await section('Audit trail').getByText('user.updated').waitFor();
    expect(await section('Audit trail').locator('li').first().innerText()).toMatch(
      /user\.updated\n[^]*by Ada King, key [a-z-]+\s+name Ada Lovelace → Ada King\s+request /,
    );
    expect(outside).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('keeps the key in memory alone, and forgets it when it is told to, loaded again or left', async () => {
    const root = await enterAsRoot();
    await find('Root');
    const traces = async () => [
      await page.evaluate<unknown>(
        '[...Object.entries(localStorage), ...Object.entries(sessionStorage), history.state]',
      ),
      await page.evaluate<unknown>('indexedDB.databases()'),
      await page.evaluate<unknown>('caches.keys()'),
      await page.context().cookies(),
      page.url(),
      await page.content(),
    ];
    const heldBefore = JSON.stringify(await traces());
    const field = page.getByLabel('API key of an administrator');

    await page.reload();
    await field.waitFor();
    const afterReload = await field.inputValue();
    await enter(root.key);
    await page.getByRole('button', { name: 'Forget the key' }).click();
    await field.waitFor();
    const afterForgetting = await field.inputValue();
    await enter(root.key);
    await page.getByRole('button', { name: 'Forget the key' }).waitFor();
    // What a browser sends to a page that one leaves, and that it may show again as it was.
    await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))");
    await field.waitFor();

    expect([afterReload, afterForgetting, await field.inputValue()]).toEqual(['', '', '']);
    expect(heldBefore).not.toContain(root.key.slice(8));
    expect(await field.getAttribute('type')).toBe('password');
    expect(complaints).toEqual([]);
  });

  describe('says why it does not take a key', () => {
    it('that is unknown, and one with characters that no key has', async () => {
      await open();

      await enter(`ua_${'x'.repeat(49)}`);
      expect(await alert().innerText()).toContain('The key is refused (401): it is mistyped, revoked or expired');
      await enter('clé 🔑');
      await page.getByText('letters, digits and underscores').waitFor();
      expect(await page.getByRole('searchbox').count()).toBe(0);
    });

    it('of a user who is no administrator, and of one without the scope to read users', async () => {
      const ada = await app.given.user();
      const root = await app.given.user({ isAdmin: true });
      const narrow = await keyOf(root, 'narrow', ['ua:audit:read']);
      await open();

      await enter(ada.key);
      expect(await alert().innerText()).toContain('Only administrators may do this (403).');
      await enter(narrow);
      await page.getByText('does not have the scope ua:users:read').waitFor();
      expect(await alert().innerText()).toContain('the key of an administrator, with the scope ua:users:read');
    });

    it('that is over its rate limit, with the time to wait', async () => {
      const root = await app.given.user({ isAdmin: true });
      await app.given.sql('UPDATE api_keys SET rate_limit_per_minute = 1 WHERE user_id = $1', [root.id]);
      await open();

      await enter(root.key);

      expect(await alert().innerText()).toMatch(/\(429\)\. Try again in \d+ seconds?\./);
    });

    it('while the database does not answer, and takes it afterwards without typing it again', async () => {
      const root = await app.given.user({ isAdmin: true });
      await open();
      const release = await app.hold('LOCK TABLE users, api_keys IN ACCESS EXCLUSIVE MODE');

      await enter(root.key);
      const message = await alert().innerText();
      await release();
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.getByRole('button', { name: 'Forget the key' }).waitFor();

      expect(message).toMatch(/The service is temporarily unavailable \(503\)\. Try again in \d+ seconds?\./);
    });

    it('where no response arrives', async () => {
      const root = await app.given.user({ isAdmin: true });
      await open();
      await page.locator('#key:focus').waitFor(); // all of it is loaded
      await page.context().setOffline(true);

      await enter(root.key);

      expect(await alert().innerText()).toContain('No response arrived');
    });
  });

  it('finds users by a part of the name, address, first characters of a key, a whole key and the id', async () => {
    const grace = await app.given.user({ name: 'Grace Hopper', email: 'grace@navy.example' });
    await app.given.user({ name: 'Another', email: 'xgrace@navy.example' });
    await enterAsRoot();
    const urls: string[] = [];
    page.on('request', (request) => urls.push(request.url()));

    const forms = [
      grace.key,
      grace.key.slice(0, -1),
      grace.key.slice(0, -6),
      `"${grace.key}"`,
      `x-api-key: ${grace.key}.`,
    ];
    for (const text of ['hopper', 'GRACE@navy.example', grace.key.slice(0, 8), ...forms]) {
      await find(text);
      await found('Grace Hopper').waitFor();
      expect(await page.locator('#users > li').count()).toBe(1);
    }
    await page.getByRole('searchbox').fill(grace.id);
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByRole('heading', { name: 'Grace Hopper', level: 1 }).waitFor();

    expect(new URL(page.url()).hash).toBe(`#/users/${grace.id}`);
    expect(urls.join()).not.toContain(grace.key.slice(8, 20));
  });

  it('narrows a search by status and role, says what finds nobody, and refuses two characters', async () => {
    await app.given.user({ name: 'Narrowed One', isAdmin: true });
    const inactive = await app.given.user({ name: 'Narrowed Two' });
    const root = await enterAsRoot();
    await app.as(root).delete(`/v1/users/${inactive.id}`);

    await page.getByLabel('Administrators only').check();
    await find('narrowed');
    await found('Narrowed One').waitFor();
    expect(await page.locator('#users > li').count()).toBe(1);
    await page.getByLabel('Administrators only').uncheck();
    await page.getByLabel('Status').selectOption('INACTIVE');
    await find('narrowed');
    await found('Narrowed Two').waitFor();
    expect(await page.locator('#users > li').count()).toBe(1);
    await find('no-such-name');
    await page.getByText('No user was found.').first().waitFor();
    await page.getByRole('searchbox').fill('na');
    await page.getByRole('button', { name: 'Find' }).click();

    expect(await alert().innerText()).toBe('Type three characters or more.');
  });

  it('reads on by the Link header, each user once, while others are added', async () => {
    for (let i = 0; i < 45; i += 1) await app.given.user({ name: `Paged ${String(i)}` });
    await enterAsRoot();

    await find('paged');
    await found('Paged 44').waitFor();
    await app.given.user({ name: 'Paged and late' });
    await page.getByRole('button', { name: 'Show more' }).click();
    await found('Paged 10').waitFor();
    const focused = await page.evaluate<string>('document.activeElement.innerText');
    await page.getByRole('button', { name: 'Show more' }).click();
    await found('Paged 0').waitFor();

    const names = (await page.locator('#users > li a').allInnerTexts()).map((name) => name.replace('Paged ', ''));
    expect(names).toEqual(Array.from({ length: 45 }, (_, i) => String(44 - i)));
    expect(focused).toContain('Paged 24');
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0);
  });

  describe('revokes a key', () => {
    it('once that is confirmed: the key is refused, and the audit trail says who did it', async () => {
      const ada = await app.given.user({ name: 'Ada' });
      const phone = await keyOf(ada, 'phone', null);
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
      const button = page.getByRole('button', { name: 'Revoke phone' });

      await button.click();
      await page.getByRole('dialog').getByRole('button', { name: 'Keep it' }).click();
      expect(await page.evaluate<boolean>('document.activeElement.ariaLabel === "Revoke phone"')).toBe(true);
      await button.click();
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      const kept = await statusOf(phone);
      await button.click();
      await page.getByRole('button', { name: 'Revoke the key' }).click();
      await section('Audit trail').getByText('api_key.revoked').waitFor();

      expect(kept).toBe(200);
      expect(await statusOf(phone)).toBe(401);
      expect(await section('Audit trail').locator('li').first().innerText()).toMatch(
        /api_key\.revoked key phone\n[^]*by Root, key [a-z-]+\s/,
      );
      await section('API keys').getByText('REVOKED').waitFor();
      expect(await button.count()).toBe(0);
      expect(await statusOf(ada.key)).toBe(200);
      expect(await page.evaluate<string>('document.activeElement.id')).toBe('keys-heading');
    });

    it('or says that it failed, also where its dialog was closed meanwhile', async () => {
      const ada = await app.given.user({ name: 'Ada' });
      await keyOf(ada, 'phone', null);
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
      let answer: (() => Promise<void>) | undefined;
      await page.route('**/api-keys/phone', (route) => {
        answer = () => route.fulfill({ status: 503, json: { status: 503, message: 'Not now' } });
      });

      await page.getByRole('button', { name: 'Revoke phone' }).click();
      await page.getByRole('button', { name: 'Revoke the key' }).click();
      await page.getByRole('button', { name: 'Revoking…' }).waitFor();
      const canKeep = await page.getByRole('button', { name: 'Keep it' }).isEnabled();
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      await answer?.();
      await section('API keys').or(page.getByRole('dialog')).getByText('Not now (503).').waitFor();

      expect(canKeep).toBe(false);
    });

    it('and not another key, to which the name has passed', async () => {
      const ada = await app.given.user({ name: 'Ada' });
      const phone = await keyOf(ada, 'phone', null);
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
      await page.getByRole('button', { name: 'Revoke phone' }).click();
      await app.as(ada).patch('/v1/api-keys/phone').send({ name: 'old-phone' }).expect(200);
      const successor = await keyOf(ada, 'phone', null);

      await page.getByRole('button', { name: 'Revoke the key' }).click();
      await page.getByRole('dialog').getByText('phone is now the name of another key').waitFor();

      expect(await statusOf(successor)).toBe(200);
      expect(await statusOf(phone)).toBe(200);
    });

    it('that it uses itself after a warning, and then asks for another one', async () => {
      const root = await app.given.user({ name: 'Root', isAdmin: true });
      await open(DESKTOP, `/console#/users/${root.id}`);
      await enter(root.key);

      await section('API keys')
        .getByRole('button', { name: /Revoke/ })
        .click();
      expect(await page.getByRole('dialog').innerText()).toContain('It is the key that you use on this page.');
      await page.getByRole('button', { name: 'Revoke the key' }).click();

      await page.getByText('The key is refused (401)').waitFor();
      expect(await page.locator('#page').innerText()).not.toContain('Root');
    });
  });

  describe('adds credits', () => {
    const amount = () => page.getByLabel('Amount');
    const button = (name: string) => section('Credits').getByRole('button', { name, exact: true });

    it('once for a repeated click, and shows the new balance', async () => {
      const ada = await app.given.user();
      await addCredits(ada, 10);
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);

      await amount().fill('1200');
      await page.getByLabel('Type').fill('GOODWILL');
      await button('Add').dblclick();
      await page.getByText('Added 1,200 credits. The balance after that: 1,210.').waitFor();
      await section('Credits').getByText('GOODWILL').waitFor();

      expect(await entriesOf(ada)).toEqual([{ credits: '10' }, { credits: '1200' }]);
      expect(await section('Credits').locator('.figures').innerText()).toContain('Balance\n1,210');
      expect(await amount().inputValue()).toBe('');
    });

    it('once where the response is lost: the second attempt is the same transaction', async () => {
      const ada = await app.given.user();
      const other = await app.given.user();
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
      const lost = page.waitForEvent('requestfailed');
      await page.route('**/v1/billing/credits-add', async (route) => {
        await route.fetch(); // the server does it
        await route.abort();
      });

      await amount().fill('7');
      await button('Add').click();
      await lost;
      await page.getByText('It is not known whether the credits were added.').waitFor();
      const [isLocked, addedBefore] = [await amount().isDisabled(), (await entriesOf(ada)).length];
      await page.unroute('**/v1/billing/credits-add');
      // The attempt outlives the view, and belongs to its user.
      await page.goto(`${origin()}/console#/users/${other.id}`);
      await button('Add').waitFor();
      await page.goBack();
      await button('Try again').click();
      await page.getByText('An earlier attempt had added 7 credits. The balance after that: 7.').waitFor();

      expect([isLocked, addedBefore]).toEqual([true, 1]);
      expect(await entriesOf(ada)).toEqual([{ credits: '7' }]);
      expect(await entriesOf(other)).toEqual([]);
      await amount().fill('7');
      await button('Add').click();
      await page.getByText('Added 7 credits. The balance after that: 14.').waitFor();
    });

    it('once where another view of the user is opened while the request is in flight', async () => {
      const ada = await app.given.user({ name: 'Ada' });
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
      let answer: (() => Promise<void>) | undefined;
      await page.route('**/v1/billing/credits-add', (route) => {
        answer = () => route.continue();
      });

      await amount().fill('7');
      await button('Add').click();
      await button('Adding…').waitFor();
      await page.getByRole('link', { name: 'All users' }).click();
      await page.getByRole('searchbox').waitFor();
      await page.goto(`${origin()}/console#/users/${ada.id.toUpperCase()}`); // the same user
      await button('Adding…').waitFor();
      const offered = await Promise.all(['Add', 'Try again', 'Give up'].map((name) => button(name).count()));
      await answer?.();
      await page.getByText('Added 7 credits. The balance after that: 7.').waitFor();
      await section('Credits').locator('.figures').getByText('7', { exact: true }).first().waitFor();

      expect(offered).toEqual([0, 0, 0]);
      expect(await entriesOf(ada)).toEqual([{ credits: '7' }]);
    });

    it.each([
      ['a failure without a text', 502, { message: null }],
      ['no entry', 200, {}],
    ])('or does not know it, where a gateway answers with %s', async (_, status, json) => {
      const ada = await app.given.user();
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
      await page.route('**/v1/billing/credits-add', async (route) => {
        await route.fetch();
        await route.fulfill({ status, json });
      });

      await amount().fill('7');
      await button('Add').click();
      await page.getByText('It is not known whether the credits were added.').waitFor();
      await page.unroute('**/v1/billing/credits-add');
      await button('Try again').click();
      await page.getByText('An earlier attempt had added 7 credits.').waitFor();

      expect(await entriesOf(ada)).toEqual([{ credits: '7' }]);
    });

    it('with the same transaction also after another failure and with another key', async () => {
      const ada = await app.given.user();
      const root = await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
      const narrow = await keyOf(root, 'narrow', SCOPES);
      const sent: unknown[] = [];
      await page.route('**/v1/billing/credits-add', async (route) => {
        sent.push(route.request().postDataJSON());
        if (sent.length === 1) {
          await route.fetch();
          await route.abort();
        } else await route.continue();
      });
      await amount().fill('5');
      await button('Add').click();
      await page.getByText('It is not known').waitFor();

      // 403: the key may not add any more.
      await app.given.sql("UPDATE api_keys SET scopes = '{ua:users:read}' WHERE user_id = $1 AND name <> 'narrow'", [
        root.id,
      ]);
      await button('Try again').click();
      await page.getByText('does not have the scope ua:credits:add').waitFor();
      await page.getByText('It is not known').waitFor();
      await page.getByRole('button', { name: 'Forget the key' }).click();
      await enter(narrow);
      await button('Try again').click();
      await page.getByText('An earlier attempt had added 5 credits.').waitFor();

      expect(new Set(sent.map((body) => JSON.stringify(body))).size).toBe(1);
      expect(sent).toHaveLength(3);
      expect(await entriesOf(ada)).toEqual([{ credits: '5' }]);
    });

    it('to nobody else: what was typed for one user is not there for the next', async () => {
      const [ada, bob] = [await app.given.user({ name: 'Ada' }), await app.given.user({ name: 'Bob' })];
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);

      await amount().fill('500');
      await page.goto(`${origin()}/console#/users/${bob.id}`);
      await page.getByRole('heading', { name: 'Bob', level: 1 }).waitFor();

      expect(await amount().inputValue()).toBe('');
    });

    it('and shows why the API refuses them, after which another amount is another transaction', async () => {
      const ada = await app.given.user();
      await addCredits(ada, Number.MAX_SAFE_INTEGER - 10);
      await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);

      await amount().fill('11');
      await button('Add').click();
      expect(await alert().innerText()).toMatch(/\(4\d\d\)\.$/);
      await amount().fill('0');
      await button('Add').click();
      expect(await page.evaluate<boolean>('document.activeElement.matches(":invalid")')).toBe(true);
      await amount().fill('10');
      await button('Add').click();
      await page.getByText('Added 10 credits.').waitFor();

      expect(await app.stored(ada)).toMatchObject({ creditsBalance: Number.MAX_SAFE_INTEGER });
    });
  });

  it('draws the balance as steps, and says it in words', async () => {
    const ada = await app.given.user();
    await addCredits(ada, 100, 50);
    await backdate(ada, "CASE credits WHEN 100 THEN timestamptz '2026-01-01T00:00:00Z' ELSE created_at END");
    const root = await enterAsRoot(DESKTOP, `/console#/users/${ada.id}`);
    const picture = page.getByRole('img', { name: /^The balance over the \d movements since 2026-01-01 00:00:00/ });
    await page.getByText('lowest 0, highest 150, now 150.').waitFor();
    const path = async () => (await picture.locator('.line').getAttribute('d')) ?? '';
    const before = await path();

    await app.as(root).post('/v1/billing/credits-deduct').send({ user_id: ada.id, amount: 150, transaction_id: 'all' });
    await page.reload();
    await enter(root.key);
    await page.getByText('lowest 0, highest 150, now 0.').waitFor();

    // From nothing to 100 of 150 at the left edge, and to 150 at the right one.
    expect(before).toMatch(/^M0 140H0V46\.7H(599\.\d|600)V0H600V0$/);
    expect(await path()).toMatch(/^M0 140H0V46\.7H(599\.\d|600)V0H(599\.\d|600)V140H600V140$/);
    expect(await page.locator('.levels').innerText()).toBe('150\n0');
  });

  it('shows what users have typed as text', async () => {
    const name = '<img src=x onerror=alert(1)>${1}{{x}}';
    const mallory = await app.given.user({ name: 'Mallory' });
    await app.as(mallory).patch('/v1/users/me').send({ name });
    const root = await app.given.user({ isAdmin: true });
    const transaction_id = '<script>alert(2)</script>';
    await app.as(root).post('/v1/billing/credits-add').send({ user_id: mallory.id, amount: 1, transaction_id });
    await enterAsRoot();

    await find('onerror');
    await found(name).click();
    await page.getByRole('heading', { name, level: 1 }).waitFor();
    await section('Credits').getByText(transaction_id).waitFor();
    await section('Audit trail').getByText(name).first().waitFor();
    await page.getByRole('button', { name: /^Revoke/ }).click();
    await page.getByRole('dialog').getByText(name).waitFor();

    expect(await page.locator('#page img, #page script').count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  it('does all of it with a key that has the scopes which are listed for it', async () => {
    const root = await app.given.user({ name: 'Root', isAdmin: true });
    const ada = await app.given.user({ name: 'Scoped Ada' });
    await addCredits(ada, 3);
    const key = await keyOf(root, 'console', SCOPES);
    const refused: number[] = [];
    await open();
    page.on('response', (response) => {
      if (response.status() >= 400) refused.push(response.status());
    });

    await enter(key);
    await find('scoped ada');
    await found('Scoped Ada').click();
    await page.getByLabel('Amount').fill('4');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByText('Added 4 credits. The balance after that: 7.').waitFor();
    await page.getByRole('button', { name: /^Revoke/ }).click();
    await page.getByRole('button', { name: 'Revoke the key' }).click();
    await section('Audit trail').getByText('api_key.revoked').waitFor();
    await section('Audit trail').getByRole('link', { name: 'Root' }).first().waitFor();

    expect(refused).toEqual([]);
    expect(await statusOf(ada.key)).toBe(401);
  });

  it.each(SCOPES)('needs the scope %s for something', async (scope) => {
    const root = await app.given.user({ isAdmin: true });
    const ada = await app.given.user();
    const key = await keyOf(
      root,
      'console',
      SCOPES.filter((each) => each !== scope),
    );
    await open(DESKTOP, `/console#/users/${ada.id}`);

    await enter(key);

    await page.getByText(scope).first().waitFor();
    expect(await page.getByText(scope).count()).toBeGreaterThan(0);
  });

  it('works below a prefix that a proxy removes, which the app need not know', async () => {
    const root = await app.given.user({ isAdmin: true });
    for (let i = 0; i < 21; i += 1) await app.given.user({ name: `Below ${String(i)}` });
    const proxy = await startPrefixProxy(app.port, '/accounts', { names: false });
    await open(DESKTOP, '/accounts/console', new URL(proxy.url).origin);
    const urls: string[] = [];
    page.on('request', (request) => urls.push(new URL(request.url()).pathname));

    await enter(root.key);
    await find('below');
    await page.getByRole('button', { name: 'Show more' }).click();
    await found('Below 0').waitFor();

    expect(urls.filter((path) => !path.startsWith('/accounts/'))).toEqual([]);
    expect([...outside, ...complaints]).toEqual([]);
    await proxy.close();
  });

  it('says that there is no such user, and leads back to the search as it was', async () => {
    await app.given.user({ name: 'Kept Search' });
    await enterAsRoot();
    await find('kept search');
    await found('Kept Search').click();
    await page.getByRole('heading', { name: 'Kept Search', level: 1 }).waitFor();

    await page.getByRole('link', { name: 'All users' }).click();
    await found('Kept Search').waitFor();
    const text = await page.getByRole('searchbox').inputValue();
    await page.goto(`${origin()}/console#/users/0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90`);
    await page.getByText('(404)').first().waitFor();

    expect(text).toBe('kept search');
  });

  it('can be used with the keyboard alone', async () => {
    const ada = await app.given.user({ name: 'Typed Ada' });
    const root = await app.given.user({ isAdmin: true });
    const focused = () =>
      page.evaluate<string>('document.activeElement.ariaLabel ?? document.activeElement.textContent');
    const tabTo = async (name: string) => {
      for (let i = 0; i < 40 && !(await focused()).includes(name); i += 1) await page.keyboard.press('Tab');
    };
    await open();
    await page.locator('#key:focus').waitFor();

    await page.keyboard.type(root.key);
    await page.keyboard.press('Enter');
    await page.locator('#search:focus').waitFor();
    await page.keyboard.type('typed ada');
    await page.keyboard.press('Enter');
    await found('Typed Ada').waitFor();
    await page.getByText('1 found').waitFor();
    await tabTo('Typed Ada');
    await page.keyboard.press('Enter');
    await page.locator('h1:focus').waitFor();
    await page.getByRole('button', { name: /^Revoke/ }).waitFor();
    await tabTo('Revoke');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Keep it' }).waitFor();
    await tabTo('Revoke the key');
    await page.keyboard.press('Enter');
    await section('Audit trail').getByText('api_key.revoked').waitFor();

    expect(await statusOf(ada.key)).toBe(401);
  });

  it('says so where a script cannot be loaded', async () => {
    await open(DESKTOP, '/livez');
    await page.route('**/lit-html.js*', (route) => route.abort());

    await page.goto(`${origin()}/console`);

    expect(await page.locator('#page').innerText()).toContain(
      'This page needs JavaScript. If it stays like this, load it again.',
    );
  });

  if (SCREENSHOTS)
    it.each(LOOKS)(
      'is drawn for the documentation, with a user on a %s in the %s scheme',
      async (device, colorScheme, options) => {
        const root = await app.given.user({
          name: 'Grace Hopper',
          email: `grace@${device}-${colorScheme}.example`,
          isAdmin: true,
        });
        const ada = await app.given.user({ name: 'Ada Lovelace', email: `ada@${device}-${colorScheme}.example.com` });
        await keyOf(ada, 'fine-tuning', ['jobs:read', 'jobs:write', 'ua:profile:read']);
        const move = (to: string, amount: number, transaction_type: string) =>
          app
            .as(root)
            .post(`/v1/billing/credits-${to}`)
            .send({ user_id: ada.id, amount, transaction_type, transaction_id: `order-${String(1810 + amount)}` });
        await move('add', 500, 'STRIPE_CHECKOUT');
        for (const amount of [40, 75, 120, 60]) await move('deduct', amount, 'FINE_TUNING_JOB');
        await move('add', 300, 'STRIPE_CHECKOUT');
        await move('deduct', 90, 'FINE_TUNING_JOB');
        await app.as(root).post('/v1/billing/holds').send({ user_id: ada.id, amount: 50, transaction_id: 'job-7' });
        await backdate(ada, DAY_BY_DAY);
        await app.given.sql("UPDATE api_keys SET last_used_at = now() - interval '185 s' WHERE name = 'first-key'");
        await app.as(root).patch(`/v1/users/${ada.id}`).send({ rate_limit_per_minute: 600 });
        await open({ ...options, colorScheme }, `/console#/users/${ada.id}`);
        await enter(root.key);
        await section('Audit trail').getByText('user.updated').waitFor();
        await section('Credits').locator('li').first().waitFor();
        await page.evaluate('document.activeElement.blur()');

        await page.screenshot({
          path: join(SCREENSHOTS, `console-${device}-${colorScheme}.png`),
          fullPage: true,
          clip: { x: 0, y: 0, width: options.viewport?.width ?? 0, height: 1300 },
        });

        expect(await section('Credits').innerText()).toContain('order-1900');
      },
    );

  describe.each(LOOKS)('on a %s in the %s scheme', (device, colorScheme, options) => {
    const overflow = (): Promise<string[]> =>
      page.evaluate(`[...document.querySelectorAll('body *')]
        .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map(({ outerHTML }) => outerHTML.slice(0, 80))
        .concat(document.documentElement.scrollWidth > innerWidth ? ['the page'] : [])`);
    const look = async () => [...(await findingsOf(page)), ...(await overflow())];

    it('can be read and is no wider than the screen, in every view', async () => {
      const root = await app.given.user({ name: 'Root', isAdmin: true });
      const owner = `${device}-${colorScheme}`;
      const ada = await app.given.user({
        name: `Ada ${'Very'.repeat(40)} Lovelace of ${owner}`,
        email: `ada.${'very.'.repeat(9)}long@${owner}.example.com`,
      });
      await keyOf(ada, 'a-key-with-scopes', ['jobs:write', 'ua:profile:read', `x${'y'.repeat(63)}`]);
      await app.as(ada).delete('/v1/api-keys/a-key-with-scopes');
      await addCredits(ada, 40, 300, 20_000, 5, 6, 7, 8, 9, 10);
      await app
        .as(root)
        .post('/v1/billing/credits-deduct')
        .send({ user_id: ada.id, amount: 9000, transaction_id: 'z'.repeat(255), transaction_type: 'FINE_TUNING_JOB' });
      await backdate(ada, DAY_BY_DAY);
      await open({ ...options, colorScheme });
      const found: Record<string, string[]> = {};

      await page.locator('#key').waitFor();
      found.signIn = await look();
      await enter('wrong');
      await alert().waitFor();
      found.refused = await look();
      await enter(root.key);
      await find(owner);
      await page.locator('#users a').first().waitFor();
      found.search = await look();
      await page.locator('#users a').first().click();
      await section('Audit trail').getByText('api_key.revoked').waitFor();
      await section('Credits').locator('li').first().waitFor();
      await page.route('**/v1/billing/credits-add', (route) => route.abort());
      await page.getByLabel('Amount').fill('25');
      await page.getByRole('button', { name: 'Add', exact: true }).click();
      await page.getByText('It is not known').waitFor();
      found.user = await look();
      await page.getByRole('button', { name: /^Revoke/ }).click();
      await page.getByRole('dialog').waitFor();
      found.dialog = await look();

      expect(found).toEqual({ signIn: [], refused: [], search: [], user: [], dialog: [] });
      expect(complaints).toEqual([]);
    }, 180_000); // axe takes its time
  });
});
