import fc from 'fast-check';
import sql from 'sql-template-tag';
import { APPLICATION, COMMAND_LINE } from '../audit-trail/actor.js';
import { MissingScopesError, SupersededSecretError } from './api-keys.errors.js';
import {
  inheritedRateLimit,
  inheritedScopes,
  isRateLimitWithin,
  isWithin,
  isWithinSql,
  maySetRateLimit,
  refuseSuperseded,
} from './key-limits.js';
import { principal } from './testing.js';

/** Small numbers, so that equal values are frequent; 0 and null have special meanings. */
const stored = fc.option(fc.integer({ min: 0, max: 4 }));
const shared = fc.option(fc.integer({ min: 1, max: 4 }));
const byDefault = fc.integer({ min: 0, max: 4 });

/** Requests that a key may make by its own limit, of a user with or without a budget. */
function effective(own: number | null, userLimit: number | null, defaultLimit: number): number {
  if (own === 0) return Infinity;
  if (own !== null) return own;
  if (userLimit !== null || defaultLimit === 0) return Infinity;
  return defaultLimit;
}

describe('The rate limit of a new key', () => {
  it('is never higher than that of the key that creates it', () => {
    fc.assert(
      fc.property(stored, stored, shared, byDefault, (own, asked, userLimit, defaultLimit) => {
        const creator = principal({ keyRateLimitPerMinute: own, userRateLimitPerMinute: userLimit });
        const bound = effective(own, userLimit, defaultLimit);

        const allowed = isRateLimitWithin(creator, asked, defaultLimit);
        const isHigher = effective(asked, userLimit, defaultLimit) > bound;
        expect([allowed, isHigher]).not.toEqual([true, true]);
        // A number is refused only if it is higher; null only where the creator has a number.
        expect(allowed).toBe(asked === null ? own === null || own === 0 : !isHigher);
      }),
    );
  });

  it('is one that the creator may set, if none is given', () => {
    fc.assert(
      fc.property(stored, shared, byDefault, (own, userLimit, defaultLimit) => {
        const creator = principal({ keyRateLimitPerMinute: own, userRateLimitPerMinute: userLimit });

        const inherited = inheritedRateLimit(creator);
        expect(inherited).toBe(own === 0 ? null : own);
        expect(isRateLimitWithin(creator, inherited, defaultLimit)).toBe(true);
      }),
    );
  });

  it.each([COMMAND_LINE, APPLICATION])('has no upper bound if no key creates it: %j', (actor) => {
    expect([maySetRateLimit(actor), isRateLimitWithin(actor, 0, 1), inheritedRateLimit(actor)]).toEqual([
      true,
      true,
      null,
    ]);
  });

  it('can be set by administrators, and not by an actor of unknown role', () => {
    const { isAdmin, ...unknown } = principal();

    expect(isAdmin).toBe(false);
    expect([principal({ isAdmin: true }), principal(), unknown].map(maySetRateLimit)).toEqual([true, false, false]);
  });
});

describe('A key whose scopes are known', () => {
  const expiresAt = new Date('2030-01-01T00:00:00Z');
  const caller = principal({ scopes: ['a', 'b'], keyExpiresAt: expiresAt });
  const later = new Date(expiresAt.getTime() + 1);

  it.each([
    ['with fewer scopes', ['a'], expiresAt, true],
    ['with the same scopes', ['b', 'a'], expiresAt, true],
    ['without a right', [], expiresAt, true],
    ['with one scope more', ['a', 'c'], expiresAt, false],
    ['with every right', null, expiresAt, false],
    ['that expires before it', ['a'], new Date(0), true],
    ['that outlives it', ['a'], later, false],
  ])('lets a key with scopes create one %s: %j, %p is %p', (_, scopes, expiry, expected) => {
    expect(isWithin(caller, scopes, expiry)).toBe(expected);
  });

  it('has no bound if the caller has no scopes', () => {
    expect([principal({ keyExpiresAt: expiresAt }), COMMAND_LINE].map((actor) => isWithin(actor, null, later))).toEqual(
      [true, true],
    );
  });

  it('is not within the bound of a caller whose key has an unknown expiry', () => {
    const { keyExpiresAt, ...unknown } = caller;

    expect(keyExpiresAt).toBe(expiresAt);
    expect(isWithin(unknown, ['a'], new Date(0))).toBe(false);
  });

  it('is compared in SQL with the scopes and the expiry of the caller, if it has scopes', () => {
    const { text, values } = isWithinSql(caller, sql`k.scopes`, sql`k.expires_at`);

    expect(text).toBe('(k.scopes <@ $1::text[] AND k.expires_at <= $2::timestamptz)');
    expect(values).toEqual([['a', 'b'], expiresAt]);
    expect(isWithinSql(principal(), sql`k.scopes`, sql`k.expires_at`)).toMatchObject({ text: 'true', values: [] });
  });
});

describe('The scopes of a new key if none are given', () => {
  const scoped = principal({ scopes: ['a'] });

  it('are those of the caller, for a key of its own', () => {
    expect([scoped, principal(), COMMAND_LINE].map((actor) => inheritedScopes(actor, principal().userId))).toEqual([
      ['a'],
      null,
      null,
    ]);
    expect(inheritedScopes(scoped, scoped.userId.toUpperCase())).toEqual(['a']);
  });

  it('must be given for a key of another user, by a caller with scopes', () => {
    const other = '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c99';

    expect(() => inheritedScopes(scoped, other)).toThrow(MissingScopesError);
    expect(inheritedScopes(principal(), other)).toBeNull();
  });
});

it('refuses a secret that a rotation has replaced, and no other', () => {
  const superseded = { at: new Date(0), until: new Date(1) };

  expect(() => {
    refuseSuperseded(principal({ superseded }));
  }).toThrow(SupersededSecretError);
  for (const actor of [principal(), COMMAND_LINE])
    expect(() => {
      refuseSuperseded(actor);
    }).not.toThrow();
});
