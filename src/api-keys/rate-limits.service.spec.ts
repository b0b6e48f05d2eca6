import { jest } from '@jest/globals';
import { Counters } from '../common/counters/counters.js';
import { addressOf } from '../common/http/caller-address.js';
import { RateLimitedError } from './api-keys.errors.js';
import { type LimitedKey, rateLimitAddress, type RateLimitOutcome, RateLimits } from './rate-limits.service.js';

describe('RateLimits', () => {
  beforeEach(() => {
    jest.useFakeTimers({ now: 0 });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  const given = async (rateLimitPerMinute?: number): Promise<RateLimits> => {
    const limits = new RateLimits(rateLimitPerMinute === undefined ? {} : { rateLimitPerMinute }, new Counters());
    await limits.onModuleInit();
    return limits;
  };
  const key = (keyId: string, own: number | null, shared: number | null = null): LimitedKey => ({
    keyId,
    userId: 'user',
    keyRateLimitPerMinute: own,
    userRateLimitPerMinute: shared,
  });
  const quotas = ({ limits }: RateLimitOutcome): object =>
    Object.fromEntries(limits.map(({ limit, quota }) => [limit, quota]));

  it.each<[defaultLimit: number, own: number | null, shared: number | null, budgets: object]>([
    [0, null, null, {}],
    [0, 0, null, {}],
    [0, 3, null, { key: 3 }],
    [0, null, 9, { user: 9 }],
    [0, 3, 9, { key: 3, user: 9 }],
    [6, null, null, { key: 6 }],
    [6, 0, null, {}],
    [6, 7, null, { key: 7 }],
    [6, null, 9, { user: 9 }],
    [6, 0, 9, { user: 9 }],
    [6, 7, 9, { key: 7, user: 9 }],
  ])('with the default %j, a key with %j and its user with %j have %j', async (defaultLimit, own, shared, budgets) => {
    expect(quotas(await (await given(defaultLimit)).take(key('a', own, shared)))).toEqual(budgets);
  });

  it('compares the count, which has no upper bound, with the current budget', async () => {
    const limits = await given();
    const isAllowed = async (budget: number): Promise<boolean> =>
      (await limits.take(key('a', budget))).exceeded === null;

    // Counts, in this order: 1, 2, 3, 4, 5.
    expect([
      await isAllowed(1),
      await isAllowed(1),
      await isAllowed(2),
      await isAllowed(4),
      await isAllowed(4),
    ]).toEqual([true, false, false, true, false]);
    jest.advanceTimersByTime(60_000);
    expect(await isAllowed(1)).toBe(true);
  });

  it('returns the exceeded limit and its wait; of two, the one with the longer wait', async () => {
    const limits = await given();
    await limits.take(key('a', null, 3)); // the window of the user begins
    jest.advanceTimersByTime(30_000);
    await limits.take(key('b', 1, 3)); // the window of the key begins

    const byKey = await limits.take(key('b', 1, 3));
    const byBoth = await limits.take(key('b', 1, 3));
    const byUser = await limits.take(key('c', 1, 3));

    expect(byKey.exceeded).toMatchObject({ limit: 'key', quota: 1, remaining: 0, resetSeconds: 60 });
    expect(byKey.limits.map(({ remaining, isExceeded }) => [remaining, isExceeded])).toEqual([
      [0, true],
      [0, false],
    ]);
    expect(byBoth.exceeded).toMatchObject({ limit: 'key', resetSeconds: 60 });
    expect(byUser.exceeded).toMatchObject({ limit: 'user', quota: 3, resetSeconds: 30 });
  });

  it('throws for a call, with the headers of both limits and the wait of the exceeded one', async () => {
    const limits = await given();
    await limits.countCall(key('a', null, 2));
    jest.advanceTimersByTime(15_000);
    await limits.countCall(key('b', 5, 2));

    await expect(limits.countCall(key('b', 5, 2))).rejects.toMatchObject({
      message: 'The API keys of this user may make 2 requests a minute together',
      headers: {
        'RateLimit-Policy': '"key";q=5;w=60, "user";q=2;w=60',
        RateLimit: '"key";r=3;t=60, "user";r=0;t=45',
        'Retry-After': '45',
      },
    });
  });

  it.each([
    [1, 'The API key may make 1 request a minute'],
    [2, 'The API key may make 2 requests a minute'],
  ])('states the limit %d', (quota, message) => {
    const state = { limit: 'key', quota, remaining: 0, resetSeconds: 1, isExceeded: true } as const;
    expect(new RateLimitedError(state).message).toBe(message);
  });
});

describe('rateLimitAddress', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2::1', '2001:db8:1:2'],
    ['2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:2'],
    ['2001:db8:1:3::1', '2001:db8:1:3'],
    ['::1', '0:0:0:0'],
    ['unix socket', ''],
  ])('maps %s to %s', (address, subscriber) => {
    expect(rateLimitAddress(addressOf(address) ?? '')).toBe(subscriber);
  });
});
