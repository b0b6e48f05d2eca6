import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { generateApiKey } from '../src/common/api-key-format.js';
import {
  ApiKeysService,
  CaptureAboveHoldError,
  ChargeAndHoldError,
  CreditsService,
  HoldEndedError,
  TransactionIdTakenError,
  UsersService,
  VerificationService,
} from '../src/index.js';
import type { Agent } from './support/agent.js';
import { startTestApp, type TestApp, useTestApp } from './support/app.js';
import { createDatabase } from './support/database.js';
import type { GivenUser } from './support/given.js';

const FUTURE = new Date('2099-01-01T00:00:00.000Z');

interface Answer {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly charge: { readonly id: string; readonly balance_after: number } | null;
  readonly hold: { readonly id: string; readonly status: string } | null;
  readonly replayed: boolean | null;
  readonly credits_available: number | null;
  readonly retry_after: number | null;
}

/** What is answered about a key that does not work. */
const refused = (reason: string) => ({
  allowed: false,
  reason,
  user_id: null,
  api_key_id: null,
  api_key_name: null,
  scopes: null,
  expires_at: null,
  superseded_until: null,
  credits_available: null,
  retry_after: null,
  charge: null,
  hold: null,
  replayed: null,
});

/** A service with a key that may verify and charge, and a customer. */
async function given(app: TestApp, credits = 0) {
  const [admin, ada] = [await app.given.user({ isAdmin: true }), await app.given.user()];
  const keys = app.nest.get(ApiKeysService);
  const keyOf = async (user: GivenUser, scopes: readonly string[] | null, expiresAt = FUTURE) =>
    keys.create({ userId: user.id, name: randomUUID(), expiresAt, scopes });
  const { secret } = await keyOf(admin, ['ua:verify', 'ua:credits:charge']);
  const service = app.anyone().set('x-api-key', secret);
  if (credits > 0) await app.nest.get(CreditsService).add({ userId: ada.id, amount: credits, transactionId: 'gift' });
  const verify = async (body: object, agent: Agent = service): Promise<Answer> => {
    const { body: answer } = await agent.post('/v1/verify').send(body).expect(200);
    return answer as Answer;
  };
  return { admin, ada, keys, keyOf, service, verify };
}

describe('POST /v1/verify', () => {
  const app = useTestApp();
  const entries = (user: GivenUser) =>
    app.rows(`SELECT credits, transaction_id, api_key_id FROM credit_entries WHERE user_id = $1 ORDER BY created_at`, [
      user.id,
    ]);

  it('tells whose key it is, and what it may do', async () => {
    const { ada, keyOf, verify } = await given(app, 7);
    const { key, secret } = await keyOf(ada, ['jobs:write', 'a']);

    expect(await verify({ key: secret, scopes: ['jobs:write'] })).toEqual({
      allowed: true,
      reason: null,
      user_id: ada.id,
      api_key_id: key.id,
      api_key_name: key.name,
      scopes: ['a', 'jobs:write'],
      expires_at: FUTURE.toISOString(),
      superseded_until: null,
      credits_available: 7,
      retry_after: null,
      charge: null,
      hold: null,
      replayed: null,
    });
    expect(await verify({ key: ada.key })).toMatchObject({ allowed: true, scopes: null });
  });

  it('tells why a key does not work, and nothing else', async () => {
    const { ada, keys, keyOf, verify } = await given(app);
    const bob = await app.given.user();
    const [revoked, expired, rotated] = [await keyOf(ada, []), await keyOf(ada, []), await keyOf(ada, [])];
    await keys.revoke(ada.id, revoked.key.name);
    await app.given.sql(
      `UPDATE api_keys SET created_at = now() - interval '2 days', expires_at = now() - interval '1 day' WHERE id = $1`,
      [expired.key.id],
    );
    await keys.rotate(ada.id, rotated.key.name, { expiresAt: FUTURE, overlapSeconds: 60 });
    await app.given.sql(
      `UPDATE superseded_secrets SET superseded_at = now() - interval '2 days',
      expires_at = now() - interval '1 day' WHERE api_key_id = $1`,
      [rotated.key.id],
    );
    await app.nest.get(UsersService).change(bob.id, { status: 'INACTIVE' });

    expect(await verify({ key: 'ua_nonsense' })).toEqual(refused('malformed'));
    expect(await verify({ key: '' })).toEqual(refused('malformed'));
    expect(await verify({ key: generateApiKey() })).toEqual(refused('unknown'));
    expect(await verify({ key: revoked.secret })).toEqual(refused('revoked'));
    expect(await verify({ key: expired.secret })).toEqual(refused('expired'));
    expect(await verify({ key: rotated.secret })).toEqual(refused('superseded'));
    expect(await verify({ key: bob.key })).toEqual(refused('user_inactive'));
  });

  it('allows a secret while the overlap of its rotation lasts, and tells until when', async () => {
    const { ada, keys, keyOf, verify } = await given(app);
    const { key, secret } = await keyOf(ada, null);
    const { secret: next } = await keys.rotate(ada.id, key.name, { expiresAt: FUTURE, overlapSeconds: 3600 });

    expect(await verify({ key: secret })).toMatchObject({
      allowed: true,
      superseded_until: expect.stringMatching(/Z$/) as string,
    });
    expect(await verify({ key: next })).toMatchObject({ allowed: true, superseded_until: null });
  });

  it('needs all scopes, and for those of this API the role of the owner too', async () => {
    const { admin, ada, keyOf, verify } = await given(app);
    const { secret } = await keyOf(ada, ['a', 'b', 'ua:users:read']);
    const { secret: ofAdmin } = await keyOf(admin, ['ua:users:read']);
    const reason = async (key: string, ...scopes: string[]) => (await verify({ key, scopes })).reason;

    expect(await reason(secret, 'a', 'b')).toBe(null);
    expect(await reason(secret, 'a', 'c')).toBe('insufficient_scope');
    expect(await reason(secret, 'ua:users:read')).toBe('insufficient_scope');
    expect(await reason(ada.key, 'anything')).toBe(null);
    expect(await reason(ada.key, 'ua:profile:read')).toBe(null);
    expect(await reason(ada.key, 'ua:users:read')).toBe('insufficient_scope');
    expect(await reason(ofAdmin, 'ua:users:read')).toBe(null);
    expect(await reason(ofAdmin, 'ua:users:write')).toBe('insufficient_scope');
  });

  it.each([
    [{}, /^key must be a string/],
    [{ key: 7 }, /^key must be a string/],
    [{ key: null }, /^key must be a string/],
    [{ key: 'k', scopes: 'a' }, /^scopes must be an array/],
    [{ key: 'k', scopes: null }, /^scopes must be an array/],
    [{ key: 'k', scopes: [7] }, /^scopes must be texts/],
    [{ key: 'k', scopes: ['A'] }, /^scopes must be at most 32 names/],
    [{ key: 'k', scopes: ['ua:everything'] }, /^scopes must be at most 32 names/],
    [{ key: 'k', scopes: Array(33).fill('a') }, /^scopes must contain no more than 32/],
    [{ key: 'k', charge: 7 }, /^charge must be an object/],
    [{ key: 'k', charge: [] }, /^charge must be an object/],
    [{ key: 'k', charge: null }, /^charge must be an object/],
    [{ key: 'k', charge: {} }, /^amount must be an integer/],
    [{ key: 'k', charge: { amount: 0, transaction_id: 'a' } }, /^amount must not be less than 1/],
    [{ key: 'k', charge: { amount: 1 } }, /^transaction_id must be a string/],
    [{ key: 'k', charge: { amount: 1, transaction_id: '' } }, /^transaction_id must have 1 to 255/],
    [{ key: 'k', charge: { amount: 1, transaction_id: 'a', transaction_type: 'x' } }, /^transaction_type must/],
    [{ key: 'k', charge: { amount: 1, transaction_id: 'a', user_id: randomUUID() } }, /^The property "user_id" is/],
    [{ key: 'k', charge: JSON.parse('{"amount":1,"transaction_id":"a","__proto__":1}') as object }, /"__proto__" is/],
    [{ key: 'k', charge: { amount: 1, transaction_id: 'a', constructor: 1 } }, /"constructor" is/],
    [{ key: 'k', hold: 7 }, /^hold must be an object/],
    [{ key: 'k', hold: null }, /^hold must be an object/],
    [{ key: 'k', hold: {} }, /^amount must be an integer/],
    [{ key: 'k', hold: { amount: 1 } }, /^transaction_id must be a string/],
    [{ key: 'k', hold: { amount: 1, transaction_id: 'a', expires_in_seconds: 0 } }, /^expires_in_seconds must be/],
    [{ key: 'k', hold: { amount: 1, transaction_id: 'a', expires_in_seconds: 604_801 } }, /^expires_in_seconds must/],
    [{ key: 'k', hold: { amount: 1, transaction_id: 'a', expires_in_seconds: null } }, /^expires_in_seconds must/],
    [{ key: 'k', hold: { amount: 1, transaction_id: 'a', user_id: randomUUID() } }, /^The property "user_id" is/],
    [{ key: 'k', charge: { amount: 1, transaction_id: 'a', expires_in_seconds: 9 } }, /"expires_in_seconds" is not/],
    [
      { key: 'k', charge: { amount: 1, transaction_id: 'a' }, hold: { amount: 1, transaction_id: 'a' } },
      /^charge and hold exclude each other: send one of them$/,
    ],
  ])('400 refuses %j', async (body, message) => {
    const { service } = await given(app);

    const response = await service.post('/v1/verify').send(body);

    expect(response.body).toEqual({ status: 400, message: expect.stringMatching(message) as string });
  });

  it('401 and 403 are about the key of the service alone', async () => {
    const { admin, ada, keyOf } = await given(app);
    const status = async (key: string | undefined, body: object) => {
      const agent = key === undefined ? app.anyone() : app.anyone().set('x-api-key', key);
      return (await agent.post('/v1/verify').send(body)).status;
    };
    const charge = { amount: 1, transaction_id: randomUUID() };
    const verifier = (await keyOf(admin, ['ua:verify'])).secret;
    const charger = (await keyOf(admin, ['ua:credits:charge', 'ua:credits:spend'])).secret;
    const ofAda = (await keyOf(ada, ['ua:verify', 'ua:credits:charge'])).secret;

    expect(await status(undefined, { key: ada.key })).toBe(401);
    expect(await status(generateApiKey(), { key: ada.key })).toBe(401);
    expect(await status(ada.key, { key: ada.key })).toBe(403);
    expect(await status(ofAda, { key: ada.key })).toBe(403);
    expect(await status(charger, { key: ada.key })).toBe(403);
    expect(await status(verifier, { key: ada.key })).toBe(200);
    expect(await status(verifier, { key: ada.key, charge })).toBe(403);
    expect(await status(verifier, { key: ada.key, hold: charge })).toBe(403);
    // All fields before the second scope.
    expect(await status(verifier, { key: ada.key, charge: {} })).toBe(400);
    expect(await status(verifier, { key: ada.key, hold: {} })).toBe(400);
    expect(await status(verifier, { key: ada.key, charge, hold: charge })).toBe(400);
    expect(await status(verifier, { key: ada.key, charge: { ...charge, transaction_id: '' } })).toBe(400);
    expect(await status(verifier, { key: ada.key, charge: { ...charge, transaction_type: 'x' } })).toBe(400);
    expect(await status(verifier, { key: ada.key, charge, scopes: ['A'] })).toBe(400);
    expect(await entries(ada)).toEqual([]);
  });

  it('costs no SQL for a text that is no key', async () => {
    const { verify } = await given(app);
    const charge = { amount: 1, transaction_id: 'a' };

    expect(await app.statementsDuring(() => verify({ key: 'ua_nonsense', charge }))).toBe(1); // for the service's own key
  });

  describe('with a charge', () => {
    it('takes the credits, and the entry names the key and the service', async () => {
      const { ada, keyOf, verify } = await given(app, 10);
      const { key, secret } = await keyOf(ada, []);

      const answer = await verify({
        key: secret,
        charge: { amount: 3, transaction_id: 'job-1', transaction_type: 'JOB' },
      });

      expect(answer).toMatchObject({
        allowed: true,
        credits_available: 7,
        replayed: false,
        charge: { credits: -3, balance_after: 7, transaction_type: 'JOB', api_key_id: key.id },
      });
      expect(await entries(ada)).toEqual([
        { credits: '10', transaction_id: 'gift', api_key_id: null },
        { credits: '-3', transaction_id: 'job-1', api_key_id: key.id },
      ]);
    });

    it('takes nothing unless every other check passes', async () => {
      const { ada, keys, keyOf, verify } = await given(app, 10);
      const { key, secret } = await keyOf(ada, ['a']);
      const charge = { amount: 3, transaction_id: 'job-1' };

      expect(await verify({ key: secret, scopes: ['b'], charge })).toMatchObject({
        reason: 'insufficient_scope',
        user_id: ada.id,
        credits_available: 10,
        charge: null,
      });
      expect(await verify({ key: secret, charge: { ...charge, amount: 11 } })).toMatchObject({
        allowed: false,
        reason: 'insufficient_credits',
        user_id: ada.id,
        credits_available: 10,
        charge: null,
        replayed: null,
      });
      await keys.revoke(ada.id, key.name);
      expect(await verify({ key: secret, charge })).toEqual(refused('revoked'));
      expect(await entries(ada)).toHaveLength(1);
    });

    it('is replayed, also where the balance is used up since', async () => {
      const { ada, verify } = await given(app, 3);
      const body = { key: ada.key, charge: { amount: 3, transaction_id: 'job-1' } };

      const first = await verify(body);
      const again = await verify(body);

      expect(first).toMatchObject({ allowed: true, replayed: false });
      expect(again).toEqual({ ...first, replayed: true });
      expect(await entries(ada)).toHaveLength(2);
    });

    it.each([
      ['revoked', async ({ keys, ada, name }: Ended) => keys.revoke(ada.id, name)],
      ['expired', ({ id }: Ended) => app.given.sql(EXPIRE, [id])],
      ['user_inactive', ({ ada }: Ended) => app.nest.get(UsersService).change(ada.id, { status: 'INACTIVE' })],
      [
        'superseded',
        async ({ keys, ada, name }: Ended) => keys.rotate(ada.id, name, { expiresAt: FUTURE, overlapSeconds: 0 }),
      ],
    ])('is told of where the key is %s since', async (reason, end) => {
      const { ada, keys, keyOf, verify } = await given(app, 3);
      const { key, secret } = await keyOf(ada, null);
      const charge = { amount: 3, transaction_id: 'job-1' };
      const { charge: entry } = await verify({ key: secret, charge });
      await end({ keys, ada, name: key.name, id: key.id });

      expect(await verify({ key: secret, charge })).toEqual({ ...refused(reason), charge: entry, replayed: true });
      expect(await verify({ key: secret, charge: { ...charge, amount: 2 } })).toEqual(refused(reason));
      expect(await entries(ada)).toHaveLength(2);
    });

    it('is told of where the key lacks a scope since', async () => {
      const { ada, keys, keyOf, verify } = await given(app, 3);
      const { key, secret } = await keyOf(ada, ['a']);
      const body = { key: secret, scopes: ['a'], charge: { amount: 3, transaction_id: 'job-1' } };
      const { charge: entry } = await verify(body);
      await keys.update(ada.id, key.name, { scopes: [] });

      expect(await verify(body)).toMatchObject({ reason: 'insufficient_scope', charge: entry, replayed: true });
    });

    it.each([
      ['another amount', { amount: 2 }],
      ['another type', { transaction_type: 'OTHER' }],
    ])('409 for %s under the same id', async (_, change) => {
      const { ada, service, verify } = await given(app, 10);
      const charge = { amount: 3, transaction_id: 'job-1' };
      await verify({ key: ada.key, charge });

      const response = await service.post('/v1/verify').send({ key: ada.key, charge: { ...charge, ...change } });

      expect(response.body).toEqual({ status: 409, message: new TransactionIdTakenError().message });
      expect(await entries(ada)).toHaveLength(2);
    });

    it('409 for another key of the same user, and for a deduction, under the same id', async () => {
      const { ada, keyOf, service, verify, admin } = await given(app, 10);
      const { secret } = await keyOf(ada, []);
      const charge = { amount: 3, transaction_id: 'job-1' };
      await verify({ key: ada.key, charge });

      await service.post('/v1/verify').send({ key: secret, charge }).expect(409);
      await app
        .as(admin)
        .post('/v1/billing/credits-deduct')
        .send({ ...charge, user_id: ada.id })
        .expect(409);
      await app.as(admin).post('/v1/billing/credits-deduct').send({ amount: 1, transaction_id: 'd', user_id: ada.id });
      await service
        .post('/v1/verify')
        .send({ key: ada.key, charge: { amount: 1, transaction_id: 'd' } })
        .expect(409);
      expect(await entries(ada)).toHaveLength(3);
    });

    it('makes one entry of twenty requests at once', async () => {
      const { ada, verify } = await given(app, 10);
      const body = { key: ada.key, charge: { amount: 3, transaction_id: 'job-1' } };

      const answers = await Promise.all(Array.from({ length: 20 }, () => verify(body)));

      expect(new Set(answers.map(({ charge }) => charge?.id)).size).toBe(1);
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      expect(answers.filter(({ allowed }) => allowed)).toHaveLength(20);
      expect(await entries(ada)).toHaveLength(2);
    });

    it('finds the charges of many customers in one statement, each its own', async () => {
      const { verify } = await given(app);
      const customers = await Promise.all(Array.from({ length: 8 }, () => given(app, 10)));
      const charge = (n: number) => ({ amount: n + 1, transaction_id: 'the same id' });
      const bodies = customers.map(({ ada }, n) => ({ key: ada.key, charge: charge(n) }));

      const first = await Promise.all(bodies.map((body) => verify(body)));
      const again = await Promise.all(bodies.map((body) => verify(body)));

      expect(first.map(({ credits_available }) => credits_available)).toEqual(customers.map((_, n) => 9 - n));
      expect(again).toEqual(first.map((answer) => ({ ...answer, replayed: true })));
    });
  });

  describe('with a hold', () => {
    const HOLD = { amount: 4, transaction_id: 'job-1' };
    const credits = () => app.nest.get(CreditsService);
    const holds = (user: GivenUser) =>
      app.rows(
        'SELECT amount::int, status, api_key_id, actor_key_id IS NOT NULL AS by_key FROM credit_holds WHERE user_id = $1',
        [user.id],
      );
    const capture = (admin: GivenUser, id: string | undefined, amount: number) =>
      app
        .as(admin)
        .post(`/v1/billing/holds/${String(id)}/capture`)
        .send({ amount });
    const expire = (id: string | undefined) =>
      app.given.sql(
        `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day' WHERE id = $1`,
        [id],
      );

    it('holds the credits; the hold, and the entry of its capture, name the key and the service', async () => {
      const { admin, ada, keyOf, verify } = await given(app, 10);
      const { key, secret } = await keyOf(ada, []);

      const answer = await verify({
        key: secret,
        hold: { ...HOLD, transaction_type: 'JOB', expires_in_seconds: 3600 },
      });
      const stored = await app.as(admin).get(`/v1/billing/holds/${String(answer.hold?.id)}`);

      expect(answer).toMatchObject({
        allowed: true,
        reason: null,
        credits_available: 6,
        charge: null,
        replayed: false,
      });
      expect(answer.hold).toEqual(stored.body);
      expect(answer.hold).toMatchObject({ user_id: ada.id, amount: 4, status: 'OPEN', transaction_type: 'JOB' });
      expect(await holds(ada)).toEqual([{ amount: 4, status: 'OPEN', api_key_id: key.id, by_key: true }]);
      expect(await entries(ada)).toHaveLength(1);

      await capture(admin, answer.hold?.id, 3).expect(200);

      expect(await entries(ada)).toMatchObject([{}, { credits: '-3', transaction_id: 'job-1', api_key_id: key.id }]);
      expect(await verify({ key: secret })).toMatchObject({ credits_available: 7 });
    });

    it('tells what can be spent: the balance without open holds, and with those that have expired', async () => {
      const { ada, verify } = await given(app, 10);
      const available = async () => (await verify({ key: ada.key })).credits_available;
      const first = await verify({ key: ada.key, hold: HOLD });
      const second = await verify({ key: ada.key, hold: { ...HOLD, transaction_id: 'job-2' } });

      expect([first.credits_available, second.credits_available, await available()]).toEqual([6, 2, 2]);
      const charged = await verify({ key: ada.key, charge: { amount: 1, transaction_id: 'charge' } });
      expect(charged).toMatchObject({ credits_available: 1, charge: { balance_after: 9 } });
      await expire(first.hold?.id);
      expect(await available()).toBe(5);
      await credits().release(second.hold?.id ?? '');
      expect(await available()).toBe(9);
      await credits().releaseExpiredHolds();
      expect(await available()).toBe(9);
    });

    it('holds nothing unless every other check passes', async () => {
      const { ada, keys, keyOf, verify } = await given(app, 10);
      const { key, secret } = await keyOf(ada, ['a']);

      expect(await verify({ key: secret, scopes: ['b'], hold: HOLD })).toMatchObject({
        reason: 'insufficient_scope',
        hold: null,
        replayed: null,
      });
      expect(await verify({ key: secret, hold: { ...HOLD, amount: 11 } })).toMatchObject({
        allowed: false,
        reason: 'insufficient_credits',
        user_id: ada.id,
        credits_available: 10,
        hold: null,
        replayed: null,
      });
      await keys.revoke(ada.id, key.name);
      expect(await verify({ key: secret, hold: HOLD })).toEqual(refused('revoked'));
      expect(await holds(ada)).toEqual([]);
    });

    it('is refused for what other holds keep, and allowed again once one of them has expired', async () => {
      const { ada, verify } = await given(app, 10);
      const { hold } = await verify({ key: ada.key, hold: { ...HOLD, amount: 8 } });
      const next = { key: ada.key, hold: { ...HOLD, transaction_id: 'job-2' } };

      expect(await verify(next)).toMatchObject({ reason: 'insufficient_credits', credits_available: 2 });
      await expire(hold?.id);
      expect(await verify(next)).toMatchObject({ allowed: true, credits_available: 6 });
    });

    it('is replayed while it is open, also where nothing is left to hold', async () => {
      const { ada, verify } = await given(app, 4);
      const body = { key: ada.key, hold: HOLD };

      const first = await verify(body);
      const again = await verify(body);
      const withDefaults = await verify({
        key: ada.key,
        hold: { ...HOLD, transaction_type: 'MANUAL_ADJUSTMENT', expires_in_seconds: 900 },
      });

      expect(first).toMatchObject({ allowed: true, replayed: false, credits_available: 0 });
      expect(again).toEqual({ ...first, replayed: true });
      expect(withDefaults).toEqual(again);
      expect(await holds(ada)).toHaveLength(1);
    });

    it.each([
      ['revoked', async ({ keys, ada, name }: Ended) => keys.revoke(ada.id, name)],
      ['expired', ({ id }: Ended) => app.given.sql(EXPIRE, [id])],
      ['user_inactive', ({ ada }: Ended) => app.nest.get(UsersService).change(ada.id, { status: 'INACTIVE' })],
      [
        'superseded',
        async ({ keys, ada, name }: Ended) => keys.rotate(ada.id, name, { expiresAt: FUTURE, overlapSeconds: 0 }),
      ],
    ])('is told of while it is open where the key is %s since', async (reason, end) => {
      const { ada, keys, keyOf, verify } = await given(app, 10);
      const { key, secret } = await keyOf(ada, null);
      const { hold } = await verify({ key: secret, hold: HOLD });
      await end({ keys, ada, name: key.name, id: key.id });

      expect(await verify({ key: secret, hold: HOLD })).toEqual({ ...refused(reason), hold, replayed: true });
      expect(await verify({ key: secret, hold: { ...HOLD, amount: 2 } })).toEqual(refused(reason));
      expect(await verify({ key: secret, charge: HOLD })).toEqual(refused(reason));
      await credits().release(hold?.id ?? '');
      expect(await verify({ key: secret, hold: HOLD })).toEqual(refused(reason));
      expect(await holds(ada)).toHaveLength(1);
    });

    it('is told of where the key lacks a scope since', async () => {
      const { ada, keys, keyOf, verify } = await given(app, 10);
      const { key, secret } = await keyOf(ada, ['a']);
      const body = { key: secret, scopes: ['a'], hold: HOLD };
      const { hold } = await verify(body);
      await keys.update(ada.id, key.name, { scopes: [] });

      expect(await verify(body)).toMatchObject({ reason: 'insufficient_scope', hold, replayed: true });
    });

    it.each([
      ['voided', (id: string) => credits().release(id)],
      ['captured', (id: string) => credits().capture(id, 4)],
      ['expired', expire],
    ])('409 for a repeated hold that was %s since', async (_, end) => {
      const { ada, service, verify } = await given(app, 10);
      const { hold } = await verify({ key: ada.key, hold: HOLD });
      await end(hold?.id ?? '');

      const response = await service.post('/v1/verify').send({ key: ada.key, hold: HOLD });

      expect(response.body).toEqual({ status: 409, message: new TransactionIdTakenError().message });
      expect(await holds(ada)).toHaveLength(1);
    });

    it.each([
      ['another amount', { hold: { ...HOLD, amount: 2 } }],
      ['another type', { hold: { ...HOLD, transaction_type: 'OTHER' } }],
      ['another expiry', { hold: { ...HOLD, expires_in_seconds: 901 } }],
      ['a charge', { charge: HOLD }],
    ])('409 for %s under the id of an open hold', async (_, request) => {
      const { ada, service, verify } = await given(app, 10);
      await verify({ key: ada.key, hold: HOLD });

      const response = await service.post('/v1/verify').send({ key: ada.key, ...request });

      expect(response.body).toEqual({ status: 409, message: new TransactionIdTakenError().message });
      expect(await entries(ada)).toHaveLength(1);
    });

    it('409 for another key of the same user, and for the id of a charge', async () => {
      const { ada, keyOf, service, verify } = await given(app, 10);
      const { secret } = await keyOf(ada, []);
      await verify({ key: ada.key, hold: HOLD });
      await verify({ key: ada.key, charge: { ...HOLD, transaction_id: 'charged' } });

      const [ofOther, ofCharge] = [
        await service.post('/v1/verify').send({ key: secret, hold: HOLD }),
        await service.post('/v1/verify').send({ key: ada.key, hold: { ...HOLD, transaction_id: 'charged' } }),
      ];

      expect([ofOther.status, ofCharge.status]).toEqual([409, 409]);
      expect(await holds(ada)).toHaveLength(1);
    });

    it.each([
      ['voided', (id: string) => credits().release(id)],
      ['expired', expire],
    ])('is no obstacle to a charge with its id once it was %s', async (_, end) => {
      const { ada, verify } = await given(app, 10);
      const { hold } = await verify({ key: ada.key, hold: HOLD });
      await end(hold?.id ?? '');

      expect(await verify({ key: ada.key, charge: HOLD })).toMatchObject({ allowed: true, credits_available: 6 });
    });

    it('makes one hold of twenty requests at once', async () => {
      const { ada, verify } = await given(app, 10);

      const answers = await Promise.all(Array.from({ length: 20 }, () => verify({ key: ada.key, hold: HOLD })));

      expect(new Set(answers.map(({ hold }) => hold?.id)).size).toBe(1);
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
      expect(answers.filter(({ allowed }) => allowed)).toHaveLength(20);
      expect(await holds(ada)).toHaveLength(1);
    });

    it('can be asked of VerificationService, which checks what it is given', async () => {
      const { ada } = await given(app, 5);
      const service = app.nest.get(VerificationService);
      const hold = { amount: 2, transactionId: 'job-1' };

      expect(await service.verify({ key: ada.key, hold })).toMatchObject({ allowed: true, hold: { status: 'OPEN' } });
      await expect(service.verify({ key: ada.key, hold: { ...hold, expiresInSeconds: 0 } })).rejects.toThrow(
        'expires_in_seconds must',
      );
      await expect(service.verify({ key: ada.key, hold: { ...hold, amount: -1 } })).rejects.toThrow('amount must');
      await expect(service.verify({ key: ada.key, hold, charge: hold })).rejects.toThrow(ChargeAndHoldError);
    });
  });

  it('makes at most one entry and one hold of an id, whatever is asked at the same time, at two instances', async () => {
    const database = await createDatabase();
    const apps = [await startTestApp(database.url), await startTestApp(database.url)] as const;
    const owner = await apps[0].given.user();
    await apps[0].nest.get(CreditsService).add({ userId: owner.id, amount: 1_000_000, transactionId: 'gift' });
    const expected = [TransactionIdTakenError, HoldEndedError, CaptureAboveHoldError];
    const made = { entries: new Map<string, Set<string>>(), holds: new Map<string, Set<string>>() };
    const note = (of: Map<string, Set<string>>, id: string, row: { readonly id: string } | null | undefined): void => {
      if (row) of.set(id, (of.get(id) ?? new Set()).add(row.id));
    };
    const action: fc.Arbitrary<Action> = fc.record({
      kind: fc.constantFrom('charge', 'hold', 'capture', 'void', 'deduct', 'expire'),
      amount: fc.constantFrom(1, 2),
      instance: fc.constantFrom(0, 1),
    });
    const run = async (transactionId: string, { kind, amount, instance }: Action) => {
      const { nest } = apps[instance];
      const [verification, credits] = [nest.get(VerificationService), nest.get(CreditsService)];
      if (kind === 'charge' || kind === 'hold') {
        const answer = await verification.verify({ key: owner.key, [kind]: { amount, transactionId } });
        if (!answer.allowed || answer[kind] === null) throw new Error(`Not allowed: ${String(answer.reason)}`);
        note(made.entries, transactionId, answer.charge);
        note(made.holds, transactionId, answer.hold);
        return;
      }
      if (kind === 'deduct') {
        note(made.entries, transactionId, (await credits.spend({ userId: owner.id, amount, transactionId })).entry);
        return;
      }
      const [id] = made.holds.get(transactionId) ?? [];
      if (id === undefined) return;
      if (kind === 'capture') note(made.entries, transactionId, (await credits.capture(id, amount)).entry);
      else if (kind === 'void') await credits.release(id);
      else
        await apps[0].rows(
          `UPDATE credit_holds SET created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'
            WHERE id = $1 AND status = 'OPEN'`,
          [id],
        );
    };
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(action, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 }),
          async (turns) => {
            const transactionId = randomUUID();
            for (const turn of turns) {
              const settled = await Promise.allSettled(turn.map((one) => run(transactionId, one)));
              const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
              expect(failures.filter((failure) => !expected.some((type) => failure instanceof type))).toEqual([]);
            }
            expect(made.entries.get(transactionId)?.size ?? 0).toBeLessThanOrEqual(1);
            expect(made.holds.get(transactionId)?.size ?? 0).toBeLessThanOrEqual(1);
            const [stored] = await apps[0].rows(
              `SELECT (SELECT count(*)::int FROM credit_entries WHERE transaction_id = $1) AS entries,
                    (SELECT count(*)::int FROM credit_holds WHERE transaction_id = $1) AS holds,
                    (SELECT credits_held::int FROM users WHERE id = $2) AS counter,
                    (SELECT coalesce(sum(amount), 0)::int FROM credit_holds WHERE user_id = $2 AND status = 'OPEN') AS open`,
              [transactionId, owner.id],
            );
            const {
              entries: count,
              holds,
              counter,
              open,
            } = stored as Record<'entries' | 'holds' | 'counter' | 'open', number>;
            expect([count, holds]).toEqual([
              made.entries.get(transactionId)?.size ?? 0,
              made.holds.get(transactionId)?.size ?? 0,
            ]);
            expect(counter).toBe(open);
          },
        ),
        { numRuns: Number(process.env.VERIFY_RUNS ?? 60) },
      );
      expect(await apps[0].nest.get(CreditsService).reconcile()).toEqual([]);
    } finally {
      await Promise.all(apps.map((one) => one.close()));
      await database.drop();
    }
  });

  it('tells what is left after the charge of a simultaneous request', async () => {
    const { ada } = await given(app, 10);
    const request = { key: ada.key, charge: { amount: 3, transactionId: 'job-1' } };
    const service = app.nest.get(VerificationService);

    const both = await Promise.all([service.verify(request), service.verify(request)]); // one lookup for both

    expect(both.map(({ replayed }) => replayed)).toEqual([false, true]);
    expect(both.map(({ identity }) => identity?.creditsAvailable)).toEqual([7, 7]);
  });

  it('allows a scope whose name every object has as a property', async () => {
    const { ada, keyOf, verify } = await given(app);
    const { secret } = await keyOf(ada, ['constructor']);

    expect(await verify({ key: secret, scopes: ['constructor'] })).toMatchObject({ allowed: true });
    expect(await verify({ key: ada.key, scopes: ['constructor'] })).toMatchObject({ allowed: true });
  });

  it('can be asked of VerificationService, which checks what it is given', async () => {
    const { ada } = await given(app, 5);
    const service = app.nest.get(VerificationService);
    const charge = { amount: 2, transactionId: 'job-1' };

    expect(await service.verify({ key: ada.key, charge })).toMatchObject({ allowed: true, replayed: false });
    expect(await service.verify({ key: undefined as unknown as string })).toMatchObject({ reason: 'malformed' });
    await expect(service.verify({ key: ada.key, scopes: ['A'] })).rejects.toThrow('scopes must be');
    await expect(service.verify({ key: ada.key, charge: { ...charge, amount: -1 } })).rejects.toThrow('amount must');
    expect(await entries(ada)).toHaveLength(2);
  });
});

interface Action {
  readonly kind: 'charge' | 'hold' | 'capture' | 'void' | 'deduct' | 'expire';
  readonly amount: number;
  /** The instance that is asked. */
  readonly instance: 0 | 1;
}

interface Ended {
  readonly keys: ApiKeysService;
  readonly ada: GivenUser;
  readonly name: string;
  readonly id: string;
}

const EXPIRE = `UPDATE api_keys SET created_at = now() - interval '2 days', expires_at = now() - interval '1 day' WHERE id = $1`;

describe('POST /v1/verify with rate limits', () => {
  let app: TestApp;
  beforeAll(async () => {
    const database = await createDatabase();
    app = await startTestApp(database.url, { RATE_LIMIT_PER_MINUTE: '2' });
  });
  afterAll(() => app.close());

  it('takes one unit of the verified key for each request, and none of the service', async () => {
    const { ada, verify } = await given(app);
    const { ada: bob } = await given(app);

    const answers = [];
    for (const key of [ada.key, ada.key, ada.key, bob.key, bob.key]) answers.push(await verify({ key }));

    expect(answers.map(({ reason }) => reason)).toEqual([null, null, 'rate_limited', null, null]);
    expect(answers[2]).toMatchObject({ allowed: false, user_id: ada.id });
    expect(answers[2]?.retry_after).toBeGreaterThan(0);
    expect(answers[2]?.retry_after).toBeLessThanOrEqual(60);
    expect((await app.as(ada).get('/v1/users/me')).status).toBe(429); // one budget for both
  });

  it('takes none for a replay, which works beyond the limit', async () => {
    const { ada, verify } = await given(app, 10);
    const body = { key: ada.key, charge: { amount: 3, transaction_id: 'job-1' } };

    const answers = [];
    for (let n = 0; n < 6; n += 1) answers.push(await verify(body));
    const others = [await verify({ key: ada.key }), await verify({ key: ada.key })];
    const late = await verify(body);

    expect(answers.map(({ replayed }) => replayed)).toEqual([false, true, true, true, true, true]);
    expect(others.map(({ reason }) => reason)).toEqual([null, 'rate_limited']);
    expect(late).toMatchObject({ allowed: true, replayed: true });
  });

  it('takes none for the repeat of an open hold, and one for the first', async () => {
    const { ada, verify } = await given(app, 10);
    const body = { key: ada.key, hold: { amount: 3, transaction_id: 'job-1' } };

    const answers = [];
    for (let n = 0; n < 4; n += 1) answers.push(await verify(body));
    const others = [await verify({ key: ada.key }), await verify({ key: ada.key })];
    const late = [await verify(body), await verify({ key: ada.key, hold: { amount: 1, transaction_id: 'job-2' } })];

    expect(answers.map(({ replayed }) => replayed)).toEqual([false, true, true, true]);
    expect(others.map(({ reason }) => reason)).toEqual([null, 'rate_limited']);
    expect(late[0]).toMatchObject({ allowed: true, replayed: true, credits_available: 7 });
    expect(late[1]).toMatchObject({ allowed: false, reason: 'rate_limited', hold: null });
  });

  it('takes none for repeats that arrive together with the first: none is refused after it was charged', async () => {
    const { ada, verify } = await given(app, 10);
    const body = { key: ada.key, charge: { amount: 3, transaction_id: 'job-1' } };

    const answers = await Promise.all(Array.from({ length: 8 }, () => verify(body)));
    const last = await verify({ key: ada.key });

    expect(answers.map(({ allowed }) => allowed)).toEqual(Array(8).fill(true));
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(last.allowed).toBe(true);
  });

  it('charges nothing where the limit is exceeded', async () => {
    const { ada, verify } = await given(app, 10);
    for (let n = 0; n < 2; n += 1) await verify({ key: ada.key });

    const answer = await verify({ key: ada.key, charge: { amount: 3, transaction_id: 'job-1' } });

    expect(answer).toMatchObject({ allowed: false, reason: 'rate_limited', charge: null, credits_available: 10 });
  });

  it('counts no failures by address', async () => {
    const { verify, ada } = await given(app);
    for (let n = 0; n < 6; n += 1) await verify({ key: generateApiKey() });
    for (let n = 0; n < 6; n += 1) await app.anyone().post('/v1/verify').send({ key: ada.key }).expect(401);

    await app.anyone().get('/v1/users/me').expect(401); // not 429
  });
});
