export const MAX_API_KEY_NAME_LENGTH = 255;

/** The characters of a key's name. `ck_api_keys_name` and the published document state them. */
export const API_KEY_NAME = `^[a-z0-9-]{1,${String(MAX_API_KEY_NAME_LENGTH)}}$`;

/** The path segment for the key of the request itself, so no key may have this name. */
const CURRENT = 'current';

/** The rule for a name in words, for error texts and the command line. */
export const API_KEY_NAME_IN_WORDS = `1 to 255 lower-case letters, digits and hyphens, and not "${CURRENT}"`;

/** The constraint `ck_api_keys_name`. */
export const API_KEY_NAME_CHECK = `name ~ '${API_KEY_NAME}' AND name <> '${CURRENT}'`;

/** The name of a key in a path. */
export const API_KEY_NAME_IN_PATH = new RegExp(API_KEY_NAME.replace('^', `^(?!${CURRENT}$)`));

export const isApiKeyName = (name: unknown): name is string =>
  typeof name === 'string' && API_KEY_NAME_IN_PATH.test(name);

/** The longest overlap of a rotation: a week. */
export const MAX_OVERLAP_SECONDS = 7 * 24 * 60 * 60;

export const isOverlap = (seconds: unknown): seconds is number =>
  Number.isInteger(seconds) && Number(seconds) >= 0 && Number(seconds) <= MAX_OVERLAP_SECONDS;
