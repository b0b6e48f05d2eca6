/**
 * Whether a text is a day of the calendar, as RFC 3339 writes it: the one form whose order as text is that of the days. From year 1 on,
 * since PostgreSQL has no year 0.
 */
export function isDate(text: string): boolean {
  if (!/^(?!0000)\d{4}-\d\d-\d\d$/.test(text)) return false;
  const day = new Date(`${text}T00:00:00Z`); // of 30 February it makes a day of March
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}
