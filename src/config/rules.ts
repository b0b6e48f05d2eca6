/** A rule for the value of an environment variable (a text) or of an option (any value). */
export interface Rule<T> {
  /** Converts the text of a variable; undefined if it cannot be converted. */
  readonly read: (text: string) => T | undefined;
  /**
   * States what a value must be, as the rest of a sentence that begins with its name; undefined if
   * it is valid. The value is not repeated, since it may be secret.
   */
  readonly problemOf: (value: unknown) => string | undefined;
}

/** Reads only digits: `Number` would also accept "1e3", " 1" and "0x1". */
export const integer = (from: number, to: number): Rule<number> => ({
  read: (text) => (/^\d{1,9}$/.test(text) ? Number(text) : undefined),
  problemOf: (value) =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to
      ? undefined
      : `must be an integer from ${String(from)} to ${String(to)}`,
});

export const FLAG: Rule<boolean> = {
  read: (text) => (text === 'true' || text === 'false' ? text === 'true' : undefined),
  problemOf: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
};

/** @param conditions checked in order; the first that does not hold is the problem */
export const text = (
  ...conditions: readonly { readonly must: string; readonly holds: (value: string) => boolean }[]
): Rule<string> => ({
  read: (value) => value,
  problemOf: (value) =>
    typeof value === 'string'
      ? conditions.find(({ holds }) => !holds(value))?.must
      : (conditions[0]?.must ?? 'must be a text'),
});

/** The limit of counts: nine digits fit every integer type. */
export const MAX_COUNT = 999_999_999;

/**
 * Lifetimes of a key in days: the default, and the longest that an operator may set (ten years).
 */
export const DEFAULT_KEY_DAYS = 365;
export const MAX_KEY_DAYS = 3650;

/**
 * Whether a URL is well-formed and its password is encoded. In `postgres://app:12/ab@db/x`, whose
 * "/" is not encoded, "app" would be the host and parts of the password the port and the database,
 * which messages repeat.
 */
export function isWellFormedUrl(value: string): boolean {
  try {
    const { href, pathname, search } = new URL(value);
    return decodeURIComponent(href) !== '' && !value.includes('#') && !`${pathname}${search}`.includes('@');
  } catch {
    return false;
  }
}

export const WELL_FORMED_URL =
  'must be a well-formed URL: in a user, a password or a parameter, # / ? @ and % are to be percent-encoded';
