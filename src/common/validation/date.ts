import { types } from 'node:util';

/**
 * Whether a text is a calendar day in the format of RFC 3339, which sorts as text in the order of
 * the days. From year 1 on, since PostgreSQL has no year 0.
 */
export function isDate(value: unknown): value is string {
  if (typeof value !== 'string' || !/^(?!0000)\d{4}-\d\d-\d\d$/.test(value)) return false;
  const day = new Date(`${value}T00:00:00Z`); // turns 30 February into a day in March
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(value);
}

/** The range of instants that RFC 3339 can express. */
const [FIRST, LAST] = [Date.parse('0000-01-01T00:00:00.000Z'), Date.parse('9999-12-31T23:59:59.999Z')];

/** Whether a value is an instant that can be stored and expressed in RFC 3339. */
export const isInstant = (value: unknown): value is Date =>
  types.isDate(value) && value.getTime() >= FIRST && value.getTime() <= LAST;
