import { validateSync } from 'class-validator';
import fc from 'fast-check';
import { encodeCursor, IsCursor, isCursor, MAX_CURSOR_LENGTH, parseCursor } from './cursor.js';

const ID = '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90';
const LAST_INSTANT = Date.parse('9999-12-31T23:59:59.999Z');

describe('A cursor', () => {
  it('consists of the instant in milliseconds and the id, and is parsed back to both', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: LAST_INSTANT }), fc.uuid(), (time, id) => {
        const place = { createdAt: new Date(time), id };

        expect(encodeCursor(place)).toBe(`${String(time)}_${id}`);
        expect(parseCursor(encodeCursor(place))).toEqual(place);
      }),
    );
  });

  it.each([
    '',
    '1',
    ID,
    `_${ID}`,
    `-1_${ID}`,
    `1.5_${ID}`,
    `1x_${ID}`,
    `x1_${ID}`,
    `1-${ID}`,
    `1_${ID.toUpperCase()}`,
    `1_${ID}0`,
    `1_x${ID}`,
    `1_${ID.slice(1)}`,
    `1_${ID.replaceAll('-', '')}`,
    `1_${ID.slice(0, -13)}`,
    `1_0${ID.slice(0, -1)}`,
    `1_${ID.slice(0, 8)}-7b1${ID.slice(13)}`,
    `1_${ID}\n`,
    ` 1_${ID}`,
    `1_1`,
    `${String(LAST_INSTANT + 1)}_${ID}`,
    `0000000000000001_${ID}`, // sixteen digits
  ])('is not %j', (text) => {
    expect(parseCursor(text)).toBeNull();
  });

  it('may have leading zeros', () => {
    expect(`000000000000001_${ID}`).toHaveLength(MAX_CURSOR_LENGTH);
    expect(parseCursor(`000000000000001_${ID}`)).toEqual({ createdAt: new Date(1), id: ID });
  });
});

describe('isCursor', () => {
  it('takes an instant that RFC 3339 can write, with a UUID', () => {
    expect(isCursor({ createdAt: new Date(LAST_INSTANT), id: ID })).toBe(true);
  });

  it.each([
    null,
    undefined,
    'text',
    {},
    { createdAt: new Date(0) },
    { id: ID },
    { createdAt: new Date(0), id: '1' },
    { createdAt: new Date(NaN), id: ID },
    { createdAt: '2026-01-01T00:00:00Z', id: ID },
    { createdAt: new Date(LAST_INSTANT + 1), id: ID },
  ])('refuses %j', (value) => {
    expect(isCursor(value)).toBe(false);
  });
});

describe('IsCursor', () => {
  class Query {
    @IsCursor()
    readonly after: unknown;

    constructor(after: unknown) {
      this.after = after;
    }
  }

  it('takes a cursor', () => {
    expect(validateSync(new Query(`1_${ID}`))).toEqual([]);
  });

  it.each(['', '1', null, undefined, 1, [`1_${ID}`]])('refuses %j, and says where a cursor comes from', (after) => {
    expect(validateSync(new Query(after))).toMatchObject([
      {
        property: 'after',
        constraints: { isCursor: 'after must be a cursor from the Link header of the previous page' },
      },
    ]);
  });
});
