import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * The published format of an API key: `ua_`, 43 random base62 characters (43 · log2 62 = 256 bits)
 * and 6 base62 characters of CRC-32 over everything before them. With the fixed prefix and the
 * checksum, secret scanners find leaked keys and verify them offline, and a mistyped or invented
 * key is refused without a database query.
 *
 * It is in `common` because configuration, logs and error messages must recognize keys.
 */

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PREFIX = 'ua_';
const RANDOM_LENGTH = 43;
const CHECKSUM_LENGTH = 6;

export const API_KEY_LENGTH = PREFIX.length + RANDOM_LENGTH + CHECKSUM_LENGTH;

/** For secret scanners: matches every key and hardly any other text. */
export const API_KEY_PATTERN = 'ua_[0-9A-Za-z]{49}';

const ONE_KEY = new RegExp(`^${API_KEY_PATTERN}$`);
const ANY_KEYS = new RegExp(API_KEY_PATTERN, 'g');

/** Generates a key from the system's random number generator. */
export function generateApiKey(): string {
  const random = Array.from({ length: RANDOM_LENGTH }, () => BASE62[randomInt(BASE62.length)]).join('');
  return withChecksum(PREFIX + random);
}

/**
 * Whether a text has the format and checksum of a key. Whether such a key exists is for the
 * database to say.
 */
export const isApiKey = (value: unknown): value is string =>
  typeof value === 'string' && ONE_KEY.test(value) && withChecksum(value.slice(0, -CHECKSUM_LENGTH)) === value;

/** Replaces every key in a text: the last protection of logs and messages. */
export const redactKeys = (text: string): string => text.replace(ANY_KEYS, `${PREFIX}[redacted]`);

function withChecksum(body: string): string {
  let checksum = '';
  for (let rest = crc32(body); checksum.length < CHECKSUM_LENGTH; rest = Math.floor(rest / BASE62.length)) {
    checksum = (BASE62[rest % BASE62.length] ?? '') + checksum;
  }
  return body + checksum;
}
