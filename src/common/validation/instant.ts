/** The instants that RFC 3339 can write, in milliseconds. Each fits a `timestamptz`, which not every `Date` does. */
const FIRST = Date.parse('0000-01-01T00:00:00.000Z');
const LAST = Date.parse('9999-12-31T23:59:59.999Z');

/** Whether a date is an instant of the years 0 to 9999; an invalid date is none. */
export const isInstant = (date: Date): boolean => date.getTime() >= FIRST && date.getTime() <= LAST;
