import { types } from 'node:util';

/**
 * Whether a text is a day of the calendar, as RFC 3339 writes it: the one form whose order as text
 * is that of the days. From year 1 on, since PostgreSQL has no year 0.
 */
export function isDate(value: unknown): value is string {
  if (typeof value !== 'string' || !/^(?!0000)\d{4}-\d\d-\d\d$/.test(value)) return false;
  const day = new Date(`${value}T00:00:00Z`); // of 30 February it makes a day of March
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(value);
}

/** The years that RFC 3339 can write. */
const [FIRST, LAST] = [Date.parse('0000-01-01T00:00:00.000Z'), Date.parse('9999-12-31T23:59:59.999Z')];

/** Whether a value is an instant that can be stored and written in RFC 3339. */
export const isInstant = (value: unknown): value is Date =>
  types.isDate(value) && value.getTime() >= FIRST && value.getTime() <= LAST;
