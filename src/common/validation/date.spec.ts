import fc from 'fast-check';
import { isDate, isInstant } from './date.js';

describe('isDate', () => {
  it('takes every day from the first of year 1 to the last of year 9999', () => {
    const [min, max] = [new Date('0001-01-01T00:00:00Z'), new Date('9999-12-31T00:00:00Z')];
    fc.assert(
      fc.property(fc.date({ min, max, noInvalidDate: true }), (day) => {
        expect(isDate(day.toISOString().slice(0, 10))).toBe(true);
      }),
      { examples: [[min], [max]] },
    );
  });

  it('takes the last day of each month, and not the one after it', () => {
    for (const year of [1, 4, 100, 400, 1900, 2000, 2023, 2024, 9999]) {
      for (let month = 1; month <= 12; month += 1) {
        const last = new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate(); // the calendar repeats after 400 years
        const day = (number: number): string =>
          [String(year).padStart(4, '0'), String(month).padStart(2, '0'), String(number).padStart(2, '0')].join('-');
        expect([day(last), isDate(day(last)), isDate(day(last + 1))]).toEqual([day(last), true, false]);
      }
    }
  });

  it.each([
    '',
    '0000-01-01',
    '0000-00-00',
    '2026-00-01',
    '2026-13-01',
    '2026-01-00',
    '2026-1-1',
    '20260101',
    '2026-001',
  ])('refuses %j', (text) => {
    expect(isDate(text)).toBe(false);
  });

  it.each([
    '2026-W01',
    '-0001-01-01',
    '+2026-01-01',
    '10000-01-01',
    '+012026-01-01',
    '2026-01-01\n',
    ' 2026-01-01',
    '2026-01-01T00:00:00Z',
  ])('refuses %j, which is a date in other formats only', (text) => {
    expect(isDate(text)).toBe(false);
  });
});

it.each([[['2026-01-01']], [new Date('2026-01-01T00:00:00Z')], [20260101], [null], [undefined]])(
  'refuses %p, which is not a string',
  (value) => {
    expect(isDate(value)).toBe(false);
  },
);

describe('isInstant', () => {
  const [first, last] = ['0000-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z'].map((text) => Date.parse(text));

  it.each([first, 0, last])('takes an instant of the years that RFC 3339 can write: %p', (time = NaN) => {
    expect(isInstant(new Date(time))).toBe(true);
  });

  it.each([
    new Date((first ?? 0) - 1),
    new Date((last ?? 0) + 1),
    new Date(NaN),
    { getTime: (): number => 0 },
    '2026-01-01T00:00:00Z',
    0,
    null,
    undefined,
  ])('refuses %p', (value) => {
    expect(isInstant(value)).toBe(false);
  });
});
