import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { InsufficientCreditsError, InvalidKeyIdError, TransactionIdTakenError } from '../src/credits/credits.errors.js';
import { CreditsService } from '../src/credits/credits.service.js';
import { startTestApp, useTestApp } from './support/app.js';
import { administer, createDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

const MAX = Number.MAX_SAFE_INTEGER;

interface WireEntry {
  readonly id: string;
  readonly credits: number;
  readonly balance_after: number;
}

describe('Credits', () => {
  const app = useTestApp();
  let admin: GivenUser;
  beforeAll(async () => {
    admin = await app.given.user({ isAdmin: true });
  });

  const post = (path: 'credits-add' | 'credits-deduct', body: object) =>
    app.as(admin).post(`/v1/billing/${path}`).send(body);
  const add = (user: GivenUser, amount: number, transaction_id: string = randomUUID()) =>
    post('credits-add', { user_id: user.id, amount, transaction_id });
  const deduct = (user: GivenUser, amount: number, transaction_id: string = randomUUID()) =>
    post('credits-deduct', { user_id: user.id, amount, transaction_id });
  const balance = async (user: GivenUser) => (await app.stored(user)).creditsBalance;
  const entries = async (user: GivenUser) => app.rows('SELECT FROM credit_entries WHERE user_id = $1', [user.id]);

  it('200 moves the balance together with an entry, and updated_at and ETag with it', async () => {
    const ada = await app.given.user();

    const added = await post('credits-add', {
      user_id: ada.id,
      amount: 40,
      transaction_id: 'order-1',
      transaction_type: 'STRIPE_CHECKOUT',
    });
    const spent = await deduct(ada, 15, 'job-1');

    const common = { id: expect.any(String), created_at: expect.stringMatching(/Z$/) };
    expect([added.status, spent.status]).toEqual([200, 200]);
    expect(added.body).toEqual({
      ...common,
      credits: 40,
      transaction_id: 'order-1',
      transaction_type: 'STRIPE_CHECKOUT',
      balance_after: 40,
      api_key_id: null,
    });
    expect(spent.body).toEqual({
      ...common,
      credits: -15,
      transaction_id: 'job-1',
      transaction_type: 'MANUAL_ADJUSTMENT',
      balance_after: 25,
      api_key_id: null,
    });
    const me = await app.as(ada).get('/v1/users/me');
    expect(me.body).toMatchObject({
      credits_balance: 25,
      updated_at: (spent.body as { created_at: string }).created_at,
    });
    expect(me.headers.etag).toBe(`"${ada.id}.3"`);
  });

  it('200 gives each entry of a user a later instant, also where the clock has not passed the last one', async () => {
    const ada = await app.given.user();
    await app.given.sql(`UPDATE users SET updated_at = '2100-01-01T00:00:00Z' WHERE id = $1`, [ada.id]);

    const created = [await add(ada, 5), await deduct(ada, 2)].map(
      ({ body }) => (body as { created_at: string }).created_at,
    );

    expect(created).toEqual(['2100-01-01T00:00:00.001Z', '2100-01-01T00:00:00.002Z']);
  });

  it('200 counts the code points of a transaction_id, not its UTF-16 units', async () => {
    const ada = await app.given.user();

    const longest = await add(ada, 1, '😀'.repeat(255));
    const longer = await add(ada, 1, '😀'.repeat(256));

    expect([longest.status, longer.status]).toEqual([200, 400]);
    expect(longest.body).toMatchObject({ transaction_id: '😀'.repeat(255) });
  });

  it.each(['G', 'GIFT_CARD_2026', `A${'_'.repeat(31)}`])(
    '200 keeps the type %s, which the API product chose',
    async (type) => {
      const ada = await app.given.user();
      const movement = { user_id: ada.id, amount: 3, transaction_id: 'gift', transaction_type: type };

      const added = await post('credits-add', movement);
      const repeated = await post('credits-add', movement);
      const other = await post('credits-add', { ...movement, transaction_type: 'OTHER' });
      const history = await app.as(ada).get('/v1/billing/credit-history');

      expect(added.body).toMatchObject({ credits: 3, transaction_type: type });
      expect(repeated.body).toEqual(added.body);
      expect(other.body).toMatchObject({ status: 409 });
      expect((history.body as { data: unknown[] }).data).toEqual([added.body]);
    },
  );

  it('keeps with the entry who moved the credits, and by which request', async () => {
    const ada = await app.given.user();

    await app
      .as(admin)
      .post('/v1/billing/credits-add')
      .set('x-request-id', 'who-moved-it')
      .send({ user_id: ada.id, amount: 5, transaction_id: 'a' });

    const actors = await app.rows(
      'SELECT actor, actor_user_id, actor_key_id IS NOT NULL AS has_key, request_id FROM credit_entries WHERE user_id = $1',
      [ada.id],
    );
    expect(actors).toEqual([{ actor: 'API_KEY', actor_user_id: admin.id, has_key: true, request_id: 'who-moved-it' }]);
  });

  it('402 for more than the balance, and nothing moves', async () => {
    const ada = await app.given.user();
    await add(ada, 10);

    const response = await deduct(ada, 11);

    expect(response.body).toEqual({ status: 402, message: 'Not enough credits are available' });
    expect([await balance(ada), (await entries(ada)).length]).toEqual([10, 1]);
  });

  it('200 holds up to 2^53−1 credits exactly, and 409 beyond', async () => {
    const ada = await app.given.user();

    expect((await add(ada, MAX)).body).toMatchObject({ credits: MAX, balance_after: MAX });
    expect((await add(ada, 1)).body).toEqual({ status: 409, message: `The balance cannot rise above ${String(MAX)}` });
    expect((await deduct(ada, MAX)).body).toMatchObject({ credits: -MAX, balance_after: 0 });
  });

  it.each([
    [{ amount: 0 }, /^amount must/],
    [{ amount: -1 }, /^amount must/],
    [{ amount: 1.5 }, /^amount must/],
    [{ amount: '5' }, /^amount must be an integer number$/],
    [{ amount: MAX + 1 }, /^amount must not be greater/],
    [{ amount: null }, /^amount must be an integer number$/],
    [{ transaction_id: '' }, /^transaction_id must/],
    [{ transaction_id: 'x'.repeat(256) }, /^transaction_id must/],
    [{ transaction_id: 'a\u0000' }, /^transaction_id must/],
    [{ transaction_id: '\ud800' }, /^transaction_id must/],
    [{ transaction_id: 5 }, /^transaction_id must/],
    [{ transaction_type: 'gift' }, /^transaction_type must be 1 to 32 capital letters/],
    [{ transaction_type: '' }, /^transaction_type must be 1 to 32 capital letters/],
    [{ transaction_type: '1ST' }, /^transaction_type must be 1 to 32 capital letters/],
    [{ transaction_type: 'GIFT\n' }, /^transaction_type must be 1 to 32 capital letters/],
    [{ transaction_type: 'G'.repeat(33) }, /^transaction_type must be 1 to 32 capital letters/],
    [{ transaction_type: 7 }, /^transaction_type must/],
    [{ transaction_type: null }, /^transaction_type must/],
    [{ user_id: 'ada' }, /^user_id must be a UUID/],
    [{ note: 'x' }, /^The property "note" is not known here/],
  ])('400 refuses %j', async (fields, message) => {
    const ada = await app.given.user();

    for (const path of ['credits-add', 'credits-deduct'] as const) {
      const response = await post(path, { user_id: ada.id, amount: 1, transaction_id: 'x', ...fields });
      expect(response.body).toEqual({ status: 400, message: expect.stringMatching(message) });
    }
    expect(await entries(ada)).toEqual([]);
  });

  it.each(['1.00000000000000000001', '0.99999999999999999999', '9007199254740990.9', '1e-400'])(
    '400 for an amount of %s, which JSON.parse would round to an integer',
    async (amount) => {
      const ada = await app.given.user();

      const response = await app
        .as(admin)
        .post('/v1/billing/credits-add')
        .set('content-type', 'application/json')
        .send(`{"user_id":"${ada.id}","amount":${amount},"transaction_id":"x"}`);

      expect(response.body).toEqual({
        status: 400,
        message: 'The body has a number with more digits than can be kept',
      });
      expect(await entries(ada)).toEqual([]);
    },
  );

  it('404 for a user who does not exist', async () => {
    const response = await post('credits-add', { user_id: randomUUID(), amount: 1, transaction_id: 'x' });

    expect(response.status).toBe(404);
  });

  it('200 answers the stored entry when a request is repeated, marks it, and moves nothing, whatever the balance has become', async () => {
    const ada = await app.given.user();
    await add(ada, 10, 'order');
    const first = await deduct(ada, 10, 'job');

    const again = await deduct(ada, 10, 'job'); // now that there is nothing left to spend

    expect(first.headers).not.toHaveProperty('idempotency-replayed');
    expect(again.status).toBe(200);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.text).toBe(first.text);
    expect([await balance(ada), (await entries(ada)).length]).toEqual([0, 2]);
  });

  it('409 for other content under a transaction_id, and 200 for the same id of another user', async () => {
    const [ada, bob] = [await app.given.user(), await app.given.user()];
    await add(ada, 10, 'order');

    for (const response of [
      await add(ada, 11, 'order'),
      await deduct(ada, 10, 'order'),
      await post('credits-add', {
        user_id: ada.id,
        amount: 10,
        transaction_id: 'order',
        transaction_type: 'STRIPE_CHECKOUT',
      }),
    ]) {
      expect(response.body).toEqual({
        status: 409,
        message: 'This transaction_id already stands for another transaction of the user, or for a hold that has ended',
      });
    }
    expect((await add(bob, 10, 'order')).status).toBe(200);
    expect(await balance(ada)).toBe(10);
  });

  it('200 for exactly 40 of 100 concurrent spenders of 1, from 40 credits', async () => {
    const ada = await app.given.user();
    await add(ada, 40);

    const responses = await Promise.all(Array.from({ length: 100 }, () => deduct(ada, 1)));

    expect(responses.filter(({ status }) => status === 200)).toHaveLength(40);
    expect(responses.filter(({ status }) => status === 402)).toHaveLength(60);
    expect(new Set(responses.flatMap(({ body }) => (body as Partial<WireEntry>).balance_after ?? [])).size).toBe(40);
    expect(await balance(ada)).toBe(0);
  });

  it('moves once for 20 concurrent retries of one transaction, which all get the same entry', async () => {
    const ada = await app.given.user();

    const responses = await Promise.all(Array.from({ length: 20 }, () => add(ada, 5, 'once')));

    expect(new Set(responses.map(({ text }) => text)).size).toBe(1);
    expect(responses.filter(({ headers }) => headers['idempotency-replayed'] === undefined)).toHaveLength(1);
    expect([await balance(ada), (await entries(ada)).length]).toEqual([5, 1]);
  });

  it('are not touched by a change of the name, nor lost to one', async () => {
    const ada = await app.given.user();

    await Promise.all(
      Array.from({ length: 20 }, (_, n) => [
        add(ada, 1),
        app
          .as(ada)
          .patch('/v1/users/me')
          .send({ name: `N ${String(n)}` }),
      ]).flat(),
    );

    expect(await app.stored(ada)).toMatchObject({ creditsBalance: 20, version: '41' });
  });

  it.each(['UPDATE credit_entries SET credits = 5', 'DELETE FROM credit_entries', 'TRUNCATE credit_entries'])(
    'the database refuses %s',
    async (sql) => {
      await expect(app.given.sql(sql)).rejects.toMatchObject({ code: '23001' });
    },
  );

  describe('GET /v1/billing/credit-history', () => {
    it('200 answers the caller its own entries, the newest first, in pages', async () => {
      const [ada, bob] = [await app.given.user(), await app.given.user()];
      for (const amount of [1, 2, 3]) await add(ada, amount);
      await add(bob, 9);

      const response = await app.as(ada).get('/v1/billing/credit-history?items_per_page=2');

      const body = response.body as { data: WireEntry[]; pagination: object };
      expect(body.data.map(({ credits, balance_after }) => [credits, balance_after])).toEqual([
        [3, 6],
        [2, 3],
      ]);
      expect(body.pagination).toEqual({ total_pages: 2, current_page: 1, items_per_page: 2 });
      expect(Object.keys(body.data[0] ?? {})).toEqual([
        'id',
        'created_at',
        'credits',
        'transaction_id',
        'transaction_type',
        'balance_after',
        'api_key_id',
      ]);
    });

    it('404 for a user who does not exist, where an administrator asks', async () => {
      const response = await app.as(admin).get(`/v1/billing/credit-history?user_id=${randomUUID()}`);

      expect(response.status).toBe(404);
    });

    it('200 lists the entries that were made for a key, and no others', async () => {
      const [ada, keyId, other] = [await app.given.user(), randomUUID(), randomUUID()];
      const credits = app.nest.get(CreditsService);
      await add(ada, 10);
      for (const [n, apiKeyId] of [keyId, undefined, other, keyId].entries())
        await credits.spend({ userId: ada.id, amount: n + 1, transactionId: `job-${String(n)}`, apiKeyId });
      const list = (id: string) => app.as(ada).get(`/v1/billing/credit-history?api_key_id=${id}`);
      const found = async (id: string) =>
        ((await list(id)).body as { data: { credits: number; api_key_id: string }[] }).data;

      expect(await found(keyId)).toMatchObject([-4, -1].map((moved) => ({ credits: moved, api_key_id: keyId })));
      expect(await found(other.toUpperCase())).toMatchObject([{ credits: -3, api_key_id: other }]);
      expect(await found(randomUUID())).toEqual([]);
      expect((await list('first-key')).body).toEqual({ status: 400, message: 'api_key_id must be a UUID' });
    });

    it('200 lists the entries of one type, or the one of a transaction, and combines these with the other filters', async () => {
      const [ada, bob] = [await app.given.user(), await app.given.user()];
      const credits = app.nest.get(CreditsService);
      for (const { id: userId } of [ada, bob])
        for (const [index, transactionType] of ['A_TYPE', 'OTHER', 'A_TYPE'].entries())
          await credits.add({ userId, amount: index + 1, transactionId: `t-${String(index)}`, transactionType });
      const found = async (query: string) =>
        (
          (await app.as(ada).get(`/v1/billing/credit-history?${query}`)).body as { data: { credits: number }[] }
        ).data.map(({ credits: moved }) => moved);

      expect(await found('transaction_type=A_TYPE')).toEqual([3, 1]);
      expect([...(await found('transaction_type=A_TYPE&items_per_page=1&page=2'))]).toEqual([1]);
      expect(await found('transaction_type=NONE')).toEqual([]);
      expect(await found('transaction_id=t-1')).toEqual([2]);
      expect(await found('transaction_id=t-1&transaction_type=A_TYPE')).toEqual([]);
      expect(await found('transaction_id=t-7')).toEqual([]);
      expect(await found(`transaction_type=A_TYPE&api_key_id=${randomUUID()}`)).toEqual([]);
      expect(await found('transaction_type=A_TYPE&end_date=2020-01-01')).toEqual([]);
    });

    it.each([
      ['transaction_type=lower', 'transaction_type must be 1 to 32 capital letters'],
      ['transaction_type=', 'transaction_type must be 1 to 32 capital letters'],
      ['transaction_id=', 'transaction_id must have 1 to 255 characters'],
      ['transaction_id=a%00b', 'transaction_id must have 1 to 255 characters'],
      [`transaction_id=${'x'.repeat(256)}`, 'transaction_id must have 1 to 255 characters'],
    ])('400 refuses %s', async (query, message) => {
      const { status, body } = await app.as(admin).get(`/v1/billing/credit-history?${query}`);

      expect([status, body]).toEqual([400, { status: 400, message: expect.stringContaining(message) }]);
    });

    it('cannot be asked of CreditsService for what is no id of a key', async () => {
      const { id: userId } = await app.given.user();
      const credits = app.nest.get(CreditsService);
      const window = { limit: 1, offset: 0, after: null };

      await expect(credits.history(userId, { apiKeyId: 'first-key' }, window)).rejects.toThrow(InvalidKeyIdError);
      await expect(credits.add({ userId, amount: 1, transactionId: 'a', apiKeyId: 'first-key' })).rejects.toThrow(
        InvalidKeyIdError,
      );
    });

    it('200 takes inclusive UTC dates', async () => {
      const ada = await app.given.user();
      const instants = [
        '2026-01-31T23:59:59.999Z',
        '2026-02-01T00:00:00.000Z',
        '2026-02-28T23:59:59.999Z',
        '2026-03-01T00:00:00.000Z',
      ];
      for (const [n, at] of instants.entries()) {
        await app.given.sql(
          `INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor) VALUES ($1, $2, 1, $3::int, 't-' || $3::int, 'MANUAL_ADJUSTMENT', 'APPLICATION')`,
          [at, ada.id, n + 1],
        );
      }
      const found = async (query: string) => {
        const { body } = await app.as(ada).get(`/v1/billing/credit-history?${query}`);
        return (body as { data: { created_at: string }[] }).data.map(({ created_at }) => created_at).reverse();
      };

      expect(await found('start_date=2026-02-01&end_date=2026-02-28')).toEqual(instants.slice(1, 3));
      expect(await found('start_date=2026-02-01')).toEqual(instants.slice(1));
      expect(await found('end_date=2026-01-31')).toEqual(instants.slice(0, 1));
      expect(await found('start_date=2026-03-01&end_date=2026-03-01')).toEqual(instants.slice(3));
    });

    it('200 takes UTC dates in a database with another time zone too', async () => {
      const database = await createDatabase();
      const name = new URL(database.directUrl).pathname.slice(1);
      await administer(`ALTER DATABASE ${name} SET timezone = 'Asia/Kathmandu'`, database.directUrl);
      const eastern = await startTestApp(database.url);
      const ada = await eastern.given.user();
      // It is the first of February in Kathmandu already.
      await eastern.given.sql(
        `INSERT INTO credit_entries (created_at, user_id, credits, balance_after, transaction_id, transaction_type, actor)
         VALUES ('2026-01-31T20:00:00Z', $1, 1, 1, 'a', 'MANUAL_ADJUSTMENT', 'APPLICATION')`,
        [ada.id],
      );
      const count = async (query: string) => {
        const { body } = await eastern.as(ada).get(`/v1/billing/credit-history?${query}`);
        return (body as { data: object[] }).data.length;
      };

      const found = [
        await count('start_date=2026-01-31'),
        await count('start_date=2026-02-01'),
        await count('end_date=2026-01-31'),
        await count('end_date=2026-01-30'),
      ];

      expect(found).toEqual([1, 0, 1, 0]);
      await eastern.close();
      await database.drop();
    });

    it.each([
      'start_date=2026-02-30',
      'start_date=2026-1-1',
      'end_date=20260101',
      'end_date=2026-01-01T00:00:00Z',
      'start_date=',
      'start_date=2026-01-02&end_date=2026-01-01',
    ])('400 refuses %s', async (query) => {
      expect((await app.as(admin).get(`/v1/billing/credit-history?${query}`)).body).toEqual({
        status: 400,
        message: expect.stringMatching(/_date must/),
      });
    });

    it('lets administrators read the history of others, and nobody else', async () => {
      const ada = await app.given.user();
      await add(ada, 7);

      const asAdmin = await app.as(admin).get(`/v1/billing/credit-history?user_id=${ada.id}`);

      expect((asAdmin.body as { data: WireEntry[] }).data).toHaveLength(1);
      for (const query of [`user_id=${admin.id}`, 'user_id=nobody', `page=0&user_id=${admin.id}`])
        expect((await app.as(ada).get(`/v1/billing/credit-history?${query}`)).status).toBe(403); // before the query is looked at
    });
  });

  describe('for other modules', () => {
    it('spend joins the caller’s transaction: a job and its price commit together or not at all', async () => {
      const ada = await app.given.user();
      await add(ada, 10);
      const credits = app.nest.get(CreditsService, { strict: false });
      const spend = (transactionId: string, outcome: 'commit' | 'fail') =>
        app.nest.get(DataSource).transaction(async (manager) => {
          await credits.spend({ userId: ada.id, amount: 4, transactionId }, { manager });
          await manager.query(`UPDATE users SET name = 'Job done' WHERE id = $1`, [ada.id]);
          if (outcome === 'fail') throw new Error('the job failed');
        });

      await expect(spend('a', 'fail')).rejects.toThrow('the job failed');
      expect(await app.stored(ada)).toMatchObject({ creditsBalance: 10, name: 'Dull Default' });
      await spend('b', 'commit');
      expect(await app.stored(ada)).toMatchObject({ creditsBalance: 6, name: 'Job done' });
    });

    it('leaves the caller’s transaction usable after a repeat, a refusal and a statement that failed', async () => {
      const [ada, bob] = [await app.given.user(), await app.given.user()];
      const release = await app.hold('SELECT FROM users WHERE id = $1 FOR UPDATE', [bob.id]);
      await add(ada, 10, 'order');
      const credits = app.nest.get(CreditsService, { strict: false });

      await app.nest.get(DataSource).transaction(async (manager) => {
        const request = { userId: ada.id, amount: 10, transactionId: 'order' };
        expect(await credits.add(request, { manager })).toMatchObject({ replayed: true });
        await expect(credits.add({ ...request, amount: 11 }, { manager })).rejects.toThrow(TransactionIdTakenError);
        await expect(credits.spend({ ...request, amount: 11, transactionId: 'x' }, { manager })).rejects.toThrow(
          InsufficientCreditsError,
        );
        await expect(credits.add({ ...request, userId: bob.id }, { manager })).rejects.toThrow('lock timeout');
        await manager.query(`UPDATE users SET name = 'Still here' WHERE id = $1`, [ada.id]);
      });
      await release();

      expect(await app.stored(ada)).toMatchObject({ creditsBalance: 10, name: 'Still here' });
    });

    it('reconcile finds nothing wrong after all of this, and names every difference that is made behind its back', async () => {
      const database = await createDatabase();
      const other = await startTestApp(database.url);
      const credits = other.nest.get(CreditsService, { strict: false });
      const [ada, bob] = [await other.given.user(), await other.given.user()];
      const { entry } = await credits.add({ userId: ada.id, amount: 5, transactionId: 'a' });
      await credits.spend({ userId: ada.id, amount: 2, transactionId: 'b' });
      const before = await credits.reconcile();

      await other.given.sql('UPDATE users SET credits_balance = 9 WHERE id = $1', [bob.id]);
      await other.given.sql(
        `ALTER TABLE credit_entries DISABLE TRIGGER ALL; UPDATE credit_entries SET balance_after = 6 WHERE id = '${entry.id}'`,
      );

      expect(before).toEqual([]);
      const differences = [
        { kind: 'balance_after', userId: ada.id, entryId: entry.id, holdId: null, stored: 6, expected: 5 },
        { kind: 'balance', userId: bob.id, entryId: null, holdId: null, stored: 9, expected: 0 },
      ];
      expect(await credits.reconcile()).toEqual(differences.sort((a, b) => (a.userId < b.userId ? -1 : 1)));
      await other.nest.close();
      await database.drop();
    });

    it('reconcile compares held credits with open holds, and holds with the entries of their transactions', async () => {
      const database = await createDatabase();
      const other = await startTestApp(database.url);
      const credits = other.nest.get(CreditsService, { strict: false });
      const ada = await other.given.user();
      await credits.add({ userId: ada.id, amount: 100, transactionId: 'start' });
      const transactions = ['open', 'charged', 'expired', 'voided', 'captured', 'lost', 'less'];
      const holds = new Map<string, string>();
      for (const transactionId of transactions)
        holds.set(transactionId, (await credits.hold({ userId: ada.id, amount: 5, transactionId })).hold.id);
      const idOf = (transactionId: string): string => holds.get(transactionId) ?? '';
      await credits.release(idOf('voided'));
      for (const transactionId of ['captured', 'lost', 'less']) await credits.capture(idOf(transactionId), 4);
      await other.given.sql(
        `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'
          WHERE id = $1`,
        [idOf('expired')],
      );
      await credits.spend({ userId: ada.id, amount: 1, transactionId: 'expired' }); // releases it, and is allowed
      const before = await credits.reconcile();

      await other.given.sql(
        'ALTER TABLE credit_entries DISABLE TRIGGER ALL; ALTER TABLE credit_holds DISABLE TRIGGER ALL',
      );
      const [charge] = await administer<{ id: string }>(
        `UPDATE credit_entries SET transaction_id = 'charged' WHERE transaction_id = 'lost' RETURNING id`,
        database.url,
      );
      const [less] = await administer<{ id: string }>(
        `UPDATE credit_holds SET captured = 3 FROM credit_entries AS entry
          WHERE entry.transaction_id = 'less' AND entry.transaction_id = credit_holds.transaction_id RETURNING entry.id`,
        database.url,
      );
      await other.given.sql('UPDATE users SET credits_held = credits_held + 1 WHERE id = $1', [ada.id]);
      const bob = await other.given.user();
      await credits.add({ userId: bob.id, amount: 2, transactionId: 'start' });
      await credits.hold({ userId: bob.id, amount: 2, transactionId: 'forgotten' });
      await other.given.sql('UPDATE users SET credits_held = 0 WHERE id = $1', [bob.id]);

      expect(before).toEqual([]);
      const found = await credits.reconcile();
      const of = { kind: 'hold', userId: ada.id } as const;
      expect(found).toHaveLength(5);
      expect(found).toEqual(
        expect.arrayContaining([
          { kind: 'credits_held', userId: ada.id, entryId: null, holdId: null, stored: 11, expected: 10 },
          { kind: 'credits_held', userId: bob.id, entryId: null, holdId: null, stored: 0, expected: 2 },
          { ...of, entryId: charge?.id, holdId: idOf('charged'), stored: -4, expected: 0 },
          { ...of, entryId: null, holdId: idOf('lost'), stored: 0, expected: -4 },
          { ...of, entryId: less?.id, holdId: idOf('less'), stored: -4, expected: -3 },
        ]),
      );
      await other.nest.close();
      await database.drop();
    });

    it('reconcile finds differences among more users than it reads at a time, each once, and says how far it is', async () => {
      const database = await createDatabase();
      const other = await startTestApp(database.url);
      await other.given.sql(
        `INSERT INTO users (name, email) SELECT 'User', n || '@example.com' FROM generate_series(1, 10001) AS n`,
      );
      const wrong = await administer<{ id: string }>(
        `UPDATE users SET credits_balance = 1 WHERE id IN
           (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM users) AS placed
             WHERE place IN (1, 4999, 5000, 5001, 10000, 10001))
         RETURNING id`,
        database.url,
      );
      const shares: number[] = [];

      const differences = await other.nest
        .get(CreditsService, { strict: false })
        .reconcile((share) => shares.push(share));

      expect(differences.map(({ userId }) => userId)).toEqual(wrong.map(({ id }) => id).sort());
      expect(shares).toEqual([5_000 / 10_001, 10_000 / 10_001, 1]);
      await other.nest.close();
      await database.drop();
    });
  });

  describe('for new users', () => {
    it('are an entry in the transaction that makes the user, and with them the user is answered', async () => {
      const database = await createDatabase();
      const generous = await startTestApp(database.url, { NEW_USER_CREDITS: '25' });
      const root = await generous.given.user({ isAdmin: true });

      const response = await generous.as(root).post('/v1/users').send({ name: 'Ada', email: 'ada@example.com' });

      const { id } = response.body as { id: string };
      expect(response.body).toMatchObject({ credits_balance: 25 });
      const history = await generous.as(root).get(`/v1/billing/credit-history?user_id=${id}`);
      expect((history.body as { data: object[] }).data).toEqual([
        expect.objectContaining({ credits: 25, transaction_type: 'NEW_USER_CREDIT', balance_after: 25 }),
      ]);
      expect(root.row.creditsBalance).toBe(25);
      expect(await generous.nest.get(CreditsService, { strict: false }).reconcile()).toEqual([]);
      await generous.nest.close();
      await database.drop();
    });
  });
});
