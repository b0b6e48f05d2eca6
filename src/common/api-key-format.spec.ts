import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { API_KEY_LENGTH, API_KEY_PATTERN, generateApiKey, isApiKey, redactKeys } from './api-key-format.js';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

describe('An API key', () => {
  it('has the published shape, and is never the same twice', () => {
    const keys = Array.from({ length: 1000 }, generateApiKey);

    for (const key of keys) {
      expect(key).toMatch(new RegExp(`^${API_KEY_PATTERN}$`));
      expect(key).toHaveLength(API_KEY_LENGTH);
      expect(isApiKey(key)).toBe(true);
    }
    expect(new Set(keys).size).toBe(1000);
  });

  // Scanners verify a find by this description alone: base62, most significant digit first, of
  // CRC-32.
  it('ends with the CRC-32 of what stands before, in six base62 digits', () => {
    const key = generateApiKey();

    const value = [...key.slice(-6)].reduce((sum, digit) => sum * 62 + BASE62.indexOf(digit), 0);

    expect(value).toBe(crc32(key.slice(0, -6)));
  });

  it('uses all of base62 evenly', () => {
    const counts = new Map<string, number>();
    for (const digit of Array.from({ length: 2000 }, () => generateApiKey().slice(3, 46)).join('')) {
      counts.set(digit, (counts.get(digit) ?? 0) + 1);
    }

    // 86,000 digits: each is expected 1,387 times with a standard deviation of 37; eight of them
    // never happen by chance.
    expect([...counts.keys()].sort().join('')).toBe(BASE62);
    for (const count of counts.values()) expect(Math.abs(count - 1387)).toBeLessThan(300);
  });

  it('is not one any more after any change of one character, or of two neighbours', () => {
    fc.assert(
      fc.property(fc.nat(API_KEY_LENGTH - 1), fc.constantFrom(...BASE62), (at, digit) => {
        const key = generateApiKey();
        const mistyped = key.slice(0, at) + digit + key.slice(at + 1);
        const swapped = key.slice(0, at) + (key[at + 1] ?? '') + (key[at] ?? '') + key.slice(at + 2);
        expect(isApiKey(mistyped)).toBe(mistyped === key);
        expect(isApiKey(swapped)).toBe(swapped === key);
      }),
    );
  });

  it('is nothing made up', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(isApiKey(text)).toBe(false);
      }),
    );
    expect(isApiKey(`${generateApiKey()}\n`)).toBe(false);
  });

  it('has its length, whatever checksum is at the end', () => {
    const withChecksum = (body: string): string => {
      let digits = '';
      for (let rest = crc32(body); digits.length < 6; rest = Math.floor(rest / 62)) {
        digits = BASE62.charAt(rest % 62) + digits;
      }
      return body + digits;
    };
    const random = generateApiKey().slice(3, 46);

    const verdicts = [random.slice(1), random, `${random}0`].map((text) => isApiKey(withChecksum(`ua_${text}`)));

    expect(verdicts).toEqual([false, true, false]);
  });

  it('is hidden wherever it stands in a text', () => {
    const key = generateApiKey();

    expect(redactKeys(`a ${key}, b${key}c`)).toBe('a ua_[redacted], bua_[redacted]c');
  });
});
