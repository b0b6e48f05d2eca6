import fc from 'fast-check';
import { timeOf, timeOrderedUuid } from './time-ordered-uuid.js';

const MAX_TIME = 2 ** 48 - 1;

describe('timeOrderedUuid', () => {
  it('contains the time in milliseconds, and is different each time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX_TIME }), (time) => {
        const id = timeOrderedUuid(time);

        expect(timeOf(id)?.getTime()).toBe(time);
        expect(timeOf(id.toUpperCase())?.getTime()).toBe(time);
        expect(timeOrderedUuid(time)).not.toBe(id);
      }),
    );
  });
});

describe('timeOf', () => {
  it('is null for a text that is not a version 7 UUID', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.uuid({ version: 4 })), (text) => {
        expect(timeOf(text)).toBeNull();
      }),
    );
  });

  it.each(['0198c5a2-7b1e-7fff-bfff-ffffffffffff0', 'x0198c5a2-7b1e-7fff-bfff-ffffffffffff'])(
    'is null for %s, which has one character too many',
    (text) => {
      expect(timeOf(text)).toBeNull();
    },
  );
});
