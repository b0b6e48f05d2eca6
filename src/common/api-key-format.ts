import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * The published format of an API key: a prefix, 43 random base62 characters (43 · log2 62 = 256
 * bits) and 6 base62 characters of CRC-32 over everything before them. With the prefix and the
 * checksum, secret scanners find leaked keys and verify them offline, and a mistyped or invented
 * key is refused without a database query.
 *
 * A prefix ends with an underscore, which base62 does not have: the last underscore of a key ends
 * its prefix. A key therefore has only one prefix, even if one prefix begins with another (`acme_`,
 * `acme_live_`).
 *
 * This file is in `common` because configuration, logs and error messages must recognize keys.
 */

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PREFIX = '[a-z][a-z0-9]{0,11}(_[a-z0-9]{1,8})?_';
const MAX_PREFIX_LENGTH = 22;
const RANDOM_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const BODY_LENGTH = RANDOM_LENGTH + CHECKSUM_LENGTH;
const BODY = `[0-9A-Za-z]{${String(BODY_LENGTH)}}`;

/** Characters after the prefix that are shown: 38 of the 43 random characters stay secret. */
const VISIBLE_LENGTH = 5;

export const DEFAULT_PREFIX = 'ua_';

/** The rule for a prefix of keys. */
export const API_KEY_PREFIX = `^${PREFIX}$`;

/** The part of a key, with any prefix, that a list shows. */
export const VISIBLE_PART = `^${PREFIX}[0-9A-Za-z]{${String(VISIBLE_LENGTH)}}$`;
export const MAX_VISIBLE_LENGTH = MAX_PREFIX_LENGTH + VISIBLE_LENGTH;
export const MAX_API_KEY_LENGTH = MAX_PREFIX_LENGTH + BODY_LENGTH;

const ONE_PREFIX = new RegExp(API_KEY_PREFIX);
const ONE_VISIBLE_PART = new RegExp(VISIBLE_PART);
const KEY_OF_ANY_PREFIX = new RegExp(`^${PREFIX}${BODY}$`);
/**
 * Matches the body of a key, even if its checksum, which anyone can compute, is incomplete or
 * missing. Begins with the underscore that ends a prefix, so that the search takes linear time.
 */
const BODIES = new RegExp(`_[0-9A-Za-z]{${String(RANDOM_LENGTH)},${String(BODY_LENGTH)}}`, 'g');

/** The prefixes of every `ApiKeyFormat` of the process, for `redactKeys`. */
const listedPrefixes = new Set([DEFAULT_PREFIX]);

/** The keys that an application accepts: those whose prefix is listed. */
export class ApiKeyFormat {
  /** For secret scanners: matches every accepted key and hardly any other text. */
  readonly pattern: string;
  /** The prefix of new keys. */
  readonly firstPrefix: string;
  private readonly oneKey: RegExp;

  /**
   * @param prefixes valid, distinct prefixes (`problemOfPrefixes`); empty for the default prefix
   */
  constructor(prefixes: readonly string[] = []) {
    const [first = DEFAULT_PREFIX, ...others] = prefixes;
    this.firstPrefix = first;
    this.pattern = (others.length > 0 ? `(${prefixes.join('|')})` : first) + BODY;
    this.oneKey = new RegExp(`^${this.pattern}$`);
    for (const prefix of prefixes) listedPrefixes.add(prefix);
  }

  /** Generates a key with the first prefix. */
  generate(): string {
    return generateApiKey(this.firstPrefix);
  }

  /**
   * Whether a text has a listed prefix, the format and the checksum of a key. Does not tell whether
   * such a key exists.
   */
  accepts(text: unknown): text is string {
    return typeof text === 'string' && this.oneKey.test(text) && hasChecksum(text);
  }
}

/** Generates a key from the system's random number generator. */
export function generateApiKey(prefix = DEFAULT_PREFIX): string {
  const random = Array.from({ length: RANDOM_LENGTH }, () => BASE62[randomInt(BASE62.length)]).join('');
  return withChecksum(prefix + random);
}

/** Like `ApiKeyFormat.accepts`, for a key with any prefix, listed or not. */
export const isApiKeyOfAnyPrefix = (text: unknown): text is string =>
  typeof text === 'string' && KEY_OF_ANY_PREFIX.test(text) && hasChecksum(text);

/** The part of a key that a list shows: its prefix and five more characters. */
export const visiblePartOf = (key: string): string => key.slice(0, VISIBLE_LENGTH - BODY_LENGTH);

export const isVisiblePart = (text: unknown): text is string => typeof text === 'string' && ONE_VISIBLE_PART.test(text);

/** The problem with a list of prefixes, as the rest of a sentence; undefined for a valid list. */
export function problemOfPrefixes(prefixes: unknown): string | undefined {
  const isList = Array.isArray(prefixes) && prefixes.length > 0;
  if (!isList || !prefixes.every((prefix) => typeof prefix === 'string' && ONE_PREFIX.test(prefix)))
    return `must list one or more prefixes of keys, such as acme_ or acme_live_: each must match ${API_KEY_PREFIX}`;
  return new Set(prefixes).size < prefixes.length ? 'must not list a prefix twice' : undefined;
}

/**
 * Replaces every key in a text: the last protection of logs and messages. With a listed prefix, any
 * text in the shape of a key is replaced, even if its checksum is wrong or incomplete, since a
 * mistyped key reveals almost all of the right one. With any other prefix, such as one that is no
 * longer listed, the checksum must be right, so that no other text is replaced.
 */
export const redactKeys = (text: string): string =>
  text.replace(BODIES, (found: string, at: number) => {
    const before = text.slice(Math.max(0, at + 1 - MAX_PREFIX_LENGTH), at + 1);
    return isKey(before, found.slice(1)) ? '_[redacted]' : found;
  });

/** @param before a text that ends with the prefix */
function isKey(before: string, body: string): boolean {
  for (const prefix of listedPrefixes) if (before.endsWith(prefix)) return true;
  return Array.from(before, (_, start) => before.slice(start) + body).some(isApiKeyOfAnyPrefix);
}

const hasChecksum = (key: string): boolean => withChecksum(key.slice(0, -CHECKSUM_LENGTH)) === key;

function withChecksum(body: string): string {
  let checksum = '';
  for (let rest = crc32(body); checksum.length < CHECKSUM_LENGTH; rest = Math.floor(rest / BASE62.length)) {
    checksum = (BASE62[rest % BASE62.length] ?? '') + checksum;
  }
  return body + checksum;
}
