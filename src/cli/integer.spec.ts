import { assert, bigInt, maxSafeInteger, property, tuple } from 'fast-check';
import { integer } from './integer.js';

const MAX = BigInt(Number.MAX_SAFE_INTEGER);

const outcome = (read: () => number): unknown => {
  try {
    return read();
  } catch (error) {
    return (error as Error).message;
  }
};

describe('integer', () => {
  it('accepts exactly the integers between its bounds, with any number of leading zeros', () => {
    const bounds = tuple(maxSafeInteger(), maxSafeInteger()).map((two) => two.map(Math.abs).sort((a, b) => a - b));
    assert(
      property(bounds, bigInt({ min: 0n, max: 2n * MAX }), ([from = 0, to = 0], n) => {
        for (const text of [String(n), `000${String(n)}`, String(from), String(to), String(to + 1), String(MAX + 1n)]) {
          const isWithin = BigInt(text) >= BigInt(from) && BigInt(text) <= BigInt(to);
          const refusal = `It must be an integer from ${String(from)} to ${String(to)}.`;
          expect(outcome(() => integer(from, to)(text))).toBe(isWithin ? Number(text) : refusal);
        }
      }),
    );
  });

  it.each(['', ' 1', '1 ', '+1', '-1', '1.0', '1e3', '0x1', '१', 'one'])('refuses %j', (text) => {
    expect(() => integer(0, 10_000)(text)).toThrow('It must be an integer from 0 to 10000.');
  });
});
