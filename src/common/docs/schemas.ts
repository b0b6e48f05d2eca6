/** The schema of an instant in a response: RFC 3339, in UTC, with milliseconds. */
export const INSTANT = {
  format: 'date-time',
  maxLength: 24,
  description: 'RFC 3339, UTC, milliseconds',
  example: '2026-01-01T09:30:00.000Z',
};
