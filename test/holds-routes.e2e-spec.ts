import { randomUUID } from 'node:crypto';
import { CreditsService } from '../src/index.js';
import { useTestApp } from './support/app.js';
import type { GivenUser } from './support/given.js';

const HOLDS = '/v1/billing/holds';

interface WireHold {
  readonly id: string;
  readonly created_at: string;
  readonly user_id: string;
  readonly amount: number;
  readonly status: string;
  readonly expires_at: string;
  readonly settled_at: string | null;
  readonly captured: number | null;
  readonly transaction_id: string;
  readonly transaction_type: string;
}

describe('The routes of holds', () => {
  const app = useTestApp();
  let admin: GivenUser;
  let ada: GivenUser;
  beforeEach(async () => {
    [admin, ada] = [await app.given.user({ isAdmin: true }), await app.given.user()];
    await app.nest.get(CreditsService).add({ userId: ada.id, amount: 100, transactionId: 'gift' });
  });
  const request = (changes: object = {}): object => ({
    user_id: ada.id,
    amount: 40,
    transaction_id: 'job-1',
    ...changes,
  });
  const post = (body: object, path = HOLDS) => app.as(admin).post(path).send(body);
  const hold = async (changes: object = {}): Promise<WireHold> =>
    (await post(request(changes)).expect(201)).body as WireHold;
  const capture = (id: string, amount: number) => post({ amount }, `${HOLDS}/${id}/capture`);
  const read = async (id: string): Promise<WireHold> =>
    (await app.as(admin).get(`${HOLDS}/${id}`).expect(200)).body as WireHold;
  const balance = async (): Promise<unknown> => (await app.as(ada).get('/v1/billing/balance').expect(200)).body;
  const expire = (id: string) =>
    app.given.sql(
      `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day' WHERE id = $1`,
      [id],
    );
  const failure = (status: number, message: string) => ({ status, message });

  describe('POST /v1/billing/holds', () => {
    it('201 holds credits, which stay in the balance and cannot be spent', async () => {
      const response = await post(request({ transaction_type: 'JOB', expires_in_seconds: 60 }));

      const { body, status, headers } = response as unknown as {
        body: WireHold;
        status: number;
        headers: Record<string, string>;
      };
      expect(status).toBe(201);
      expect(headers.location).toBe(`${HOLDS}/${body.id}`);
      expect(headers).not.toHaveProperty('idempotency-replayed');
      expect(body).toEqual({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
        created_at: expect.stringMatching(/Z$/) as string,
        user_id: ada.id,
        amount: 40,
        status: 'OPEN',
        expires_at: new Date(Date.parse(body.created_at) + 60_000).toISOString(),
        settled_at: null,
        captured: null,
        transaction_id: 'job-1',
        transaction_type: 'JOB',
      });
      expect(Object.keys(body).join()).toBe(
        'id,created_at,user_id,amount,status,expires_at,settled_at,captured,transaction_id,transaction_type',
      );
      expect(await balance()).toEqual({ credits_balance: 100, credits_held: 40, credits_available: 60 });
      await post(request({ amount: 61, transaction_id: 'x' }), '/v1/billing/credits-deduct').expect(402);
      await post(request({ amount: 60, transaction_id: 'y' }), '/v1/billing/credits-deduct').expect(200);
    });

    it('201 expires after 900 seconds, and is a MANUAL_ADJUSTMENT, by default', async () => {
      const { created_at, expires_at, transaction_type } = await hold();

      expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(900_000);
      expect(transaction_type).toBe('MANUAL_ADJUSTMENT');
    });

    it('200 returns the hold to a repeated request while it is open, and holds nothing more', async () => {
      const first = await hold();

      const again = await post(request());
      const withDefaults = await post(request({ expires_in_seconds: 900, transaction_type: 'MANUAL_ADJUSTMENT' }));

      for (const { status, body, headers } of [again, withDefaults]) {
        expect([status, body]).toEqual([200, first]);
        expect(headers).toMatchObject({ 'idempotency-replayed': 'true' });
        expect(headers).not.toHaveProperty('location');
      }
      expect(await balance()).toMatchObject({ credits_held: 40 });
    });

    it('201 once for twenty requests at once, and 200 for the others', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => post(request())));

      expect(answers.map(({ status }) => status).sort()).toEqual([...Array<number>(19).fill(200), 201]);
      expect(new Set(answers.map(({ body }) => (body as WireHold).id)).size).toBe(1);
      expect(await balance()).toMatchObject({ credits_held: 40 });
    });

    it('402 for more than is available, also where the balance has it', async () => {
      await hold({ amount: 70 });

      const response = await post(request({ amount: 31, transaction_id: 'job-2' }));

      expect(response.body).toEqual(failure(402, 'Not enough credits are available'));
      expect(await balance()).toMatchObject({ credits_held: 70 });
    });

    it('404 for a user who does not exist', async () => {
      const id = randomUUID();

      const response = await post(request({ user_id: id }));

      expect(response.body).toEqual(failure(404, `User with ID ${id} not found`));
    });

    it.each([
      ['another amount', { amount: 41 }],
      ['another type', { transaction_type: 'OTHER' }],
      ['another expiry', { expires_in_seconds: 901 }],
    ])('409 for %s under the same id', async (_, changes) => {
      await hold();

      const { status } = await post(request(changes));

      expect(status).toBe(409);
      expect(await balance()).toMatchObject({ credits_held: 40 });
    });

    it('409 for the id of an entry; and for an entry with the id of an open hold', async () => {
      await post(request({ transaction_id: 'spent', amount: 1 }), '/v1/billing/credits-deduct').expect(200);
      await hold();

      const answers = [
        await post(request({ transaction_id: 'spent', amount: 1 })),
        await post(request(), '/v1/billing/credits-deduct'),
        await post(request(), '/v1/billing/credits-add'),
      ];

      expect(answers.map(({ status }) => status)).toEqual([409, 409, 409]);
      expect(await balance()).toEqual({ credits_balance: 99, credits_held: 40, credits_available: 59 });
    });

    it.each([
      ['voided', (id: string) => app.as(admin).delete(`${HOLDS}/${id}`)],
      ['captured', (id: string) => capture(id, 40)],
      ['expired', expire],
    ])('409 for a repeated request of a hold that was %s since', async (_, end) => {
      const { id } = await hold();
      await end(id);

      await post(request()).expect(409);

      expect(await balance()).toMatchObject({ credits_held: 0 });
    });

    it.each([
      [{ amount: 0 }, 'amount must not be less than 1'],
      [{ amount: 1.5 }, 'amount must be an integer number'],
      [{ amount: '40' }, 'amount must be an integer number'],
      [{ amount: undefined }, 'amount must be an integer number'],
      [{ amount: 2 ** 53 }, 'amount must not be greater than 9007199254740991'],
      [{ user_id: 'x' }, 'user_id must be a UUID'],
      [{ user_id: undefined }, 'user_id must be a UUID'],
      [{ transaction_id: '' }, 'transaction_id must have 1 to 255 characters, and neither NUL nor lone surrogates'],
      ...[0, 604_801, 1.5, '60', null].map((expires_in_seconds): [object, string] => [
        { expires_in_seconds },
        'expires_in_seconds must be an integer from 1 to 604800',
      ]),
      [{ status: 'OPEN' }, 'The property "status" is not known here'],
    ])('400 refuses %j', async (changes, message) => {
      const response = await post(request(changes));

      expect(response.body).toEqual(failure(400, message));
    });

    it.each([1, 604_800])('201 for %i seconds', async (expires_in_seconds) => {
      const { created_at, expires_at } = await hold({ expires_in_seconds });

      expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(expires_in_seconds * 1000);
    });
  });

  describe('POST /v1/billing/holds/{hold_id}/capture', () => {
    it('200 takes credits, releases the rest, and returns the entry', async () => {
      const { id } = await hold({ transaction_type: 'JOB' });

      const response = await capture(id, 15);

      expect(response.status).toBe(200);
      expect(response.headers).not.toHaveProperty('idempotency-replayed');
      expect(response.body).toEqual({
        id: expect.any(String) as string,
        created_at: expect.any(String) as string,
        credits: -15,
        transaction_id: 'job-1',
        transaction_type: 'JOB',
        balance_after: 85,
        api_key_id: null,
      });
      expect(await balance()).toEqual({ credits_balance: 85, credits_held: 0, credits_available: 85 });
      expect(await read(id)).toMatchObject({
        status: 'CAPTURED',
        captured: 15,
        settled_at: expect.any(String) as string,
      });
    });

    it('200 returns the same entry to a repeated request', async () => {
      const { id } = await hold();
      const first = await capture(id, 15);

      const again = await capture(id, 15);

      expect([again.status, again.body]).toEqual([200, first.body]);
      expect(again.headers).toMatchObject({ 'idempotency-replayed': 'true' });
      expect(await balance()).toMatchObject({ credits_balance: 85 });
    });

    it('409 for more than is held, and the hold stays open', async () => {
      const { id } = await hold();

      const response = await capture(id, 41);

      expect(response.body).toEqual(
        failure(409, 'The hold has 40 credits: capture no more, and charge the rest by a transaction of its own'),
      );
      expect((await read(id)).status).toBe('OPEN');
      await capture(id, 40).expect(200);
    });

    it('409 for another amount, and after a void or the expiry', async () => {
      const [captured, voided, expired] = [
        await hold({ transaction_id: 'a', amount: 10 }),
        await hold({ transaction_id: 'b', amount: 10 }),
        await hold({ transaction_id: 'c', amount: 10 }),
      ];
      await capture(captured.id, 5);
      await app.as(admin).delete(`${HOLDS}/${voided.id}`);
      await expire(expired.id);

      const answers = [await capture(captured.id, 6), await capture(voided.id, 5), await capture(expired.id, 5)];

      expect(answers.map(({ body }) => body as unknown)).toEqual(
        ['CAPTURED', 'VOIDED', 'EXPIRED'].map((status) => failure(409, `The hold is ${status}`)),
      );
      expect(await balance()).toEqual({ credits_balance: 95, credits_held: 0, credits_available: 95 });
    });

    it('400 before 404: an amount that is none, of a hold that does not exist', async () => {
      const response = await capture(randomUUID(), 0);

      expect(response.body).toEqual(failure(400, 'amount must not be less than 1'));
    });
  });

  describe('DELETE /v1/billing/holds/{hold_id}', () => {
    it('200 voids the hold, and returns the same to a repeated request', async () => {
      const open = await hold();

      const first = await app.as(admin).delete(`${HOLDS}/${open.id}`);
      const again = await app.as(admin).delete(`${HOLDS}/${open.id}`);

      const voided = { ...open, status: 'VOIDED', settled_at: expect.any(String) as string };
      expect([first.status, first.body]).toEqual([200, voided]);
      expect([again.status, again.body]).toEqual([200, first.body]);
      expect(await balance()).toEqual({ credits_balance: 100, credits_held: 0, credits_available: 100 });
    });

    it('200 returns an expired hold as it is, and 409 for a captured one', async () => {
      const [expired, captured] = [await hold({ transaction_id: 'a' }), await hold({ transaction_id: 'b' })];
      await expire(expired.id);
      await capture(captured.id, 1);

      const ofExpired = await app.as(admin).delete(`${HOLDS}/${expired.id}`);
      const ofCaptured = await app.as(admin).delete(`${HOLDS}/${captured.id}`);

      expect([ofExpired.status, ofExpired.body]).toEqual([200, await read(expired.id)]);
      expect(ofExpired.body).toMatchObject({ status: 'EXPIRED' });
      expect(ofCaptured.body).toEqual(failure(409, 'The hold is CAPTURED'));
    });
  });

  describe('GET /v1/billing/holds', () => {
    const list = async (query: string, as = admin) =>
      (await app.as(as).get(`${HOLDS}?${query}`).expect(200)).body as { data: WireHold[]; pagination: object };

    it('200 lists the holds of a user, the newest first, by their status, in pages', async () => {
      const holds = [];
      for (const id of ['a', 'b', 'c', 'd']) holds.push(await hold({ transaction_id: id, amount: 5 }));
      const [open, captured, voided, expired] = holds.map(({ id }) => id) as [string, string, string, string];
      await capture(captured, 1);
      await app.as(admin).delete(`${HOLDS}/${voided}`);
      await expire(expired);
      const ids = async (status: string) => (await list(`user_id=${ada.id}&status=${status}`)).data.map(({ id }) => id);

      const page = await list(`user_id=${ada.id}&items_per_page=2&page=1`);

      expect(page.pagination).toEqual({ total_pages: 2, current_page: 1, items_per_page: 2 });
      expect(page.data).toEqual([await read(voided), await read(captured)]); // `expire` moved the newest one a day back
      expect(await ids('OPEN')).toEqual([open]);
      expect(await ids('CAPTURED')).toEqual([captured]);
      expect(await ids('VOIDED')).toEqual([voided]);
      expect(await ids('EXPIRED')).toEqual([expired]);
    });

    it('200 lists those of the caller without a user_id', async () => {
      await hold();

      expect(await list('')).toEqual({
        data: [],
        pagination: { total_pages: 0, current_page: 1, items_per_page: 20 },
      });
    });

    it('404 for a user who does not exist, and 400 for a status that is none', async () => {
      const unknown = await app.as(admin).get(`${HOLDS}?user_id=${randomUUID()}`);
      const status = await app.as(admin).get(`${HOLDS}?status=open`);

      expect(unknown.status).toBe(404);
      expect(status.body).toEqual(failure(400, 'status must be one of OPEN, CAPTURED, VOIDED, EXPIRED'));
    });
  });

  describe('GET /v1/billing/holds/{hold_id}', () => {
    it('200 shows a hold EXPIRED from its expiry on, whether or not it was swept', async () => {
      const { id } = await hold();
      await expire(id);

      const before = await read(id);
      await app.nest.get(CreditsService).releaseExpiredHolds();
      const after = await read(id);

      expect(before).toMatchObject({ status: 'EXPIRED', settled_at: before.expires_at, captured: null });
      expect(after).toEqual(before);
    });

    it('404 for a hold that does not exist, and for what is no id', async () => {
      const unknown = [
        await app.as(admin).get(`${HOLDS}/${randomUUID()}`),
        await app.as(admin).delete(`${HOLDS}/${randomUUID()}`),
        await capture(randomUUID(), 1),
      ];
      const malformed = await app.as(admin).get(`${HOLDS}/x`);
      const malformedUser = await app.as(admin).get('/v1/users/x');

      for (const { body } of unknown) expect(body).toEqual(failure(404, 'No such hold exists'));
      expect([malformed.status, malformed.body]).toEqual([
        404,
        failure(404, (malformedUser.body as { message: string }).message.replace('/users/x', '/billing/holds/x')),
      ]);
    });

    it('200 for the id in capital letters', async () => {
      const { id } = await hold();

      expect(await read(id.toUpperCase())).toMatchObject({ id });
    });
  });

  describe('The balance', () => {
    it('200 of the caller, and of a user for administrators', async () => {
      await hold({ amount: 30 });

      const own = await app.as(ada).get('/v1/billing/balance');
      const ofAda = await app.as(admin).get(`/v1/users/${ada.id}/balance`);
      const ofAdmin = await app.as(admin).get('/v1/billing/balance');

      expect([own.status, own.body]).toEqual([200, { credits_balance: 100, credits_held: 30, credits_available: 70 }]);
      expect([ofAda.status, ofAda.body]).toEqual([200, own.body]);
      expect(ofAdmin.body).toEqual({ credits_balance: 0, credits_held: 0, credits_available: 0 });
    });

    it('404 of a user who does not exist', async () => {
      const id = randomUUID();

      const response = await app.as(admin).get(`/v1/users/${id}/balance`);

      expect(response.body).toEqual(failure(404, `User with ID ${id} not found`));
    });

    it('counts no expired hold', async () => {
      const { id } = await hold({ amount: 30 });
      await expire(id);

      expect(await balance()).toEqual({ credits_balance: 100, credits_held: 0, credits_available: 100 });
    });

    it('changes neither the ETag nor updated_at of the user when credits are held and released', async () => {
      const before = await app.as(ada).get('/v1/users/me');
      const { id } = await hold();
      const during = await app.as(ada).get('/v1/users/me');
      await app.as(admin).delete(`${HOLDS}/${id}`);
      const after = await app.as(ada).get('/v1/users/me');

      for (const { body, headers } of [during, after]) {
        expect(body).toEqual(before.body);
        expect(headers.etag).toBe(before.headers.etag);
      }
    });
  });
});
