/**
 * Whether a value is the version of a row, as `pg` gives it: text, since 18 digits fit a bigint and
 * no number.
 */
export const isVersion = (value: unknown): value is string =>
  typeof value === 'string' && /^[1-9]\d{0,17}$/.test(value);
