import { checkPeriod, DATE_SCHEMA, InvalidPeriodError, type Period } from './period.js';
import { isDate } from './date.js';

const MESSAGE = 'start_date must be a date, such as 2026-01-31, and end_date must be one that is not before it';

describe('checkPeriod', () => {
  it.each<[Period]>([
    [{}],
    [{ startDate: '2026-01-31' }],
    [{ endDate: '2026-01-31' }],
    [{ startDate: '2026-01-31', endDate: '2026-01-31' }],
    [{ startDate: '2025-12-31', endDate: '2026-01-01' }],
  ])('takes %j', (period) => {
    expect(() => {
      checkPeriod(period);
    }).not.toThrow();
  });

  it.each<[Period]>([
    [{ startDate: '2026-02-30' }],
    [{ endDate: '2026-02-30' }],
    [{ startDate: '', endDate: '2026-01-01' }],
    [{ startDate: '2026-01-01', endDate: 'tomorrow' }],
    [{ startDate: '2026-01-02', endDate: '2026-01-01' }],
  ])('refuses %j', (period) => {
    expect(() => {
      checkPeriod(period);
    }).toThrow(new InvalidPeriodError());
    expect(new InvalidPeriodError()).toMatchObject({ kind: 'invalid', message: MESSAGE });
  });
});

describe('The schema of a date', () => {
  it('has a date as its example, and allows no longer text', () => {
    expect(isDate(DATE_SCHEMA.example)).toBe(true);
    expect(DATE_SCHEMA.example).toHaveLength(DATE_SCHEMA.maxLength);
    expect(DATE_SCHEMA.example).toMatch(new RegExp(DATE_SCHEMA.pattern));
    expect(DATE_SCHEMA.format).toBe('date');
    for (const other of ['2026-1-31', '12026-01-31', '2026-01-311', '2026-01-3x'])
      expect(other).not.toMatch(new RegExp(DATE_SCHEMA.pattern));
  });
});
