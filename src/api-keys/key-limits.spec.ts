import fc from 'fast-check';
import { APPLICATION, COMMAND_LINE } from '../audit-trail/actor.js';
import { inheritedRateLimit, isRateLimitWithin, maySetRateLimit } from './key-limits.js';
import { principal } from './testing.js';

/** Small numbers meet often; 0 and null have a meaning of their own. */
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

  it('is one that the creator may give, where none is named', () => {
    fc.assert(
      fc.property(stored, shared, byDefault, (own, userLimit, defaultLimit) => {
        const creator = principal({ keyRateLimitPerMinute: own, userRateLimitPerMinute: userLimit });

        const inherited = inheritedRateLimit(creator);
        expect(inherited).toBe(own === 0 ? null : own);
        expect(isRateLimitWithin(creator, inherited, defaultLimit)).toBe(true);
      }),
    );
  });

  it.each([COMMAND_LINE, APPLICATION])('has no bound where no key creates it: %j', (actor) => {
    expect([maySetRateLimit(actor), isRateLimitWithin(actor, 0, 1), inheritedRateLimit(actor)]).toEqual([
      true,
      true,
      null,
    ]);
  });

  it('is for administrators to set, and not for an actor that does not say what it is', () => {
    const { isAdmin, ...unknown } = principal();

    expect(isAdmin).toBe(false);
    expect([principal({ isAdmin: true }), principal(), unknown].map(maySetRateLimit)).toEqual([true, false, false]);
  });
});
