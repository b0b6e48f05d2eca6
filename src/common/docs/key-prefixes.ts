import { ApiKeyFormat, DEFAULT_PREFIX } from '../api-key-format.js';

/*
 * The OpenAPI document shows keys with the first prefix of the application. Decorators of classes
 * run before the prefixes are known, so they use the default, which is replaced here.
 */

/** A text in the shape of a key, with a wrong checksum, so that no scanner reports it. */
export const EXAMPLE_KEY = `${DEFAULT_PREFIX}5GhT2zkxR0pQmB7vYw3LdNc8sJf1EaUo9iXtHnKgS4qD6Vr0A`;
export const EXAMPLE_VISIBLE_PART = `${DEFAULT_PREFIX}5GhT2`;

/** Matches a whole key. */
export const KEY_PATTERN = `^${new ApiKeyFormat().pattern}$`;

/** Does not match inside an example that already has another prefix. */
const EXAMPLES = new RegExp(`(?<![a-z0-9_])${EXAMPLE_VISIBLE_PART}`, 'g');

/** Replaces the default prefix in the examples and patterns of a part of a document. Idempotent. */
export const withKeyPrefixes = <T>(part: T, { firstPrefix, pattern }: ApiKeyFormat): T =>
  JSON.parse(
    JSON.stringify(part)
      .replaceAll(EXAMPLES, firstPrefix + EXAMPLE_VISIBLE_PART.slice(DEFAULT_PREFIX.length))
      .replaceAll(KEY_PATTERN, () => `^${pattern}$`),
  ) as T;
