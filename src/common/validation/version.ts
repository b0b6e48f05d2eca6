/**
 * Whether a value is the version of a row, as `pg` returns it: text, since 18 digits fit into a
 * bigint but not into a number.
 */
export const isVersion = (value: unknown): value is string =>
  typeof value === 'string' && /^[1-9]\d{0,17}$/.test(value);
