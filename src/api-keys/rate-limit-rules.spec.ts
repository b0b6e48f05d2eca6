import { isRateLimit, keyBudget, MAX_RATE_LIMIT } from './rate-limit-rules.js';

describe('isRateLimit', () => {
  it.each([
    [null, true, true],
    [0, true, false],
    [1, true, true],
    [MAX_RATE_LIMIT, true, true],
    [MAX_RATE_LIMIT + 1, false, false],
    [-1, false, false],
    [1.5, false, false],
    [Infinity, false, false],
    [NaN, false, false],
    ['1', false, false],
    [undefined, false, false],
  ])('returns for %p as the limit of a key: %p, and of a user: %p', (value, ofKey, ofUser) => {
    expect([isRateLimit(value, 'key'), isRateLimit(value, 'user')]).toEqual([ofKey, ofUser]);
  });
});

describe('keyBudget', () => {
  it.each([
    // limits of the key, of its user and by default, then the effective limit of the key
    [5, null, 60, 5],
    [5, 3, 60, 5],
    [0, null, 60, Infinity],
    [0, 3, 60, Infinity],
    [null, null, 60, 60],
    [null, null, 0, Infinity],
    [null, 3, 60, Infinity], // the user's budget counts instead of the default
  ])('of a key with %p, of a user with %p and by default %p is %p', (own, shared, defaultLimit, budget) => {
    expect(keyBudget({ keyRateLimitPerMinute: own, userRateLimitPerMinute: shared }, defaultLimit)).toBe(budget);
  });
});
