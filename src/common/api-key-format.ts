import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * The published shape of an API key: `ua_`, 43 base62 characters of randomness (43 · log2 62 = 256 bits) and 6 base62
 * characters of CRC-32 over all that stands before them. The fixed prefix and the checksum let secret scanners find a
 * leaked key and be sure of it offline, and let us refuse a mistyped or made-up one without asking the database.
 *
 * It stands in `common` because the configuration, the logs and the error messages must know a key when they see one.
 */

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PREFIX = 'ua_';
const RANDOM_LENGTH = 43;
const CHECKSUM_LENGTH = 6;

export const API_KEY_LENGTH = PREFIX.length + RANDOM_LENGTH + CHECKSUM_LENGTH;

/** For secret scanners: matches every key, and hardly anything else. */
export const API_KEY_PATTERN = 'ua_[0-9A-Za-z]{49}';

const ONE_KEY = new RegExp(`^${API_KEY_PATTERN}$`);
const ANY_KEYS = new RegExp(API_KEY_PATTERN, 'g');

/** Makes a new key from the system's random generator. */
export function generateApiKey(): string {
  const random = Array.from({ length: RANDOM_LENGTH }, () => BASE62[randomInt(BASE62.length)]).join('');
  return withChecksum(PREFIX + random);
}

/** Whether a text could be a key of ours: right shape and right checksum. Says nothing about whether it is one. */
export const isApiKey = (value: unknown): value is string =>
  typeof value === 'string' && ONE_KEY.test(value) && withChecksum(value.slice(0, -CHECKSUM_LENGTH)) === value;

/** Replaces every key in a text: the last line of defence for logs and messages. */
export const redactKeys = (text: string): string => text.replace(ANY_KEYS, `${PREFIX}[redacted]`);

function withChecksum(body: string): string {
  let checksum = '';
  for (let rest = crc32(body); checksum.length < CHECKSUM_LENGTH; rest = Math.floor(rest / BASE62.length)) {
    checksum = (BASE62[rest % BASE62.length] ?? '') + checksum;
  }
  return body + checksum;
}
