import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import {
  ApiKeyFormat,
  generateApiKey,
  isApiKeyOfAnyPrefix,
  isVisiblePart,
  MAX_API_KEY_LENGTH,
  MAX_VISIBLE_LENGTH,
  problemOfPrefixes,
  visiblePartOf,
} from './api-key-format.js';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const API_KEY_LENGTH = 52;

const format = new ApiKeyFormat();

const PREFIX = fc.stringMatching(/^[a-z][a-z0-9]{0,11}(_[a-z0-9]{1,8})?_$/);
/** One prefix or several, some of which begin with another. */
const PREFIXES = fc.uniqueArray(fc.oneof(PREFIX, fc.constantFrom('a_', 'a_a_', 'aa_', 'aa_a_', 'ua_')), {
  minLength: 1,
  maxLength: 5,
});

const withChecksum = (body: string): string => {
  let digits = '';
  for (let rest = crc32(body); digits.length < 6; rest = Math.floor(rest / 62)) {
    digits = BASE62.charAt(rest % 62) + digits;
  }
  return body + digits;
};

describe('An API key', () => {
  it('has the published format, and is never the same twice', () => {
    const keys = Array.from({ length: 1000 }, () => format.generate());

    for (const key of keys) {
      expect(key).toMatch(/^ua_[0-9A-Za-z]{49}$/);
      expect(key).toHaveLength(API_KEY_LENGTH);
      expect(format.accepts(key)).toBe(true);
    }
    expect(new Set(keys).size).toBe(1000);
  });

  // Scanners verify a match by this description alone: base62, most significant digit first, of
  // CRC-32.
  it('ends with the CRC-32 of everything before it, in six base62 digits', () => {
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

  it('is invalid after any change of one character, or exchange of two neighbours', () => {
    fc.assert(
      fc.property(fc.nat(API_KEY_LENGTH - 1), fc.constantFrom(...BASE62), (at, digit) => {
        const key = generateApiKey();
        const mistyped = key.slice(0, at) + digit + key.slice(at + 1);
        const swapped = key.slice(0, at) + (key[at + 1] ?? '') + (key[at] ?? '') + key.slice(at + 2);
        expect(format.accepts(mistyped)).toBe(mistyped === key);
        expect(format.accepts(swapped)).toBe(swapped === key);
      }),
    );
  });

  it('is not any other text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(format.accepts(text)).toBe(false);
      }),
    );
    expect(format.accepts(`${generateApiKey()}\n`)).toBe(false);
  });

  it('has its length, whatever checksum is at the end', () => {
    const random = generateApiKey().slice(3, 46);

    const verdicts = [random.slice(1), random, `${random}0`].map((text) => format.accepts(withChecksum(`ua_${text}`)));

    expect(verdicts).toEqual([false, true, false]);
  });

  it('has a prefix of the published form, whatever checksum is at the end', () => {
    const random = generateApiKey().slice(3, 46);
    const made = ['acme_', 'acme', 'Acme_', '1acme_', 'x acme_', ''].map((prefix) => withChecksum(prefix + random));

    expect(made.map(isApiKeyOfAnyPrefix)).toEqual([true, false, false, false, false, false]);
  });

  it('is a string, and so is its visible part', () => {
    const key = generateApiKey();

    expect(
      [[key], null, 7, { toString: () => key }].flatMap((value) => [format.accepts(value), isApiKeyOfAnyPrefix(value)]),
    ).toEqual(Array(8).fill(false));
    expect([[visiblePartOf(key)], null, 7].map(isVisiblePart)).toEqual([false, false, false]);
  });

  it('has a visible part of its prefix and exactly five characters', () => {
    expect(['ua_1aB2c', 'acme_live_00000'].map(isVisiblePart)).toEqual([true, true]);
    expect(
      ['', 'ua_', 'ua_1aB2', 'ua_1aB2c3', 'ua1aB2c', 'ua_1aB2-', 'xUa_1aB2c', 'ua_1aB2c\n'].map(isVisiblePart),
    ).toEqual(Array(8).fill(false));
  });

  it('may have any listed prefix, and has only one, even if one prefix begins with another', () => {
    fc.assert(
      fc.property(PREFIXES, PREFIXES, fc.nat(), (prefixes, others, choice) => {
        const prefix = prefixes[choice % prefixes.length] ?? '';
        const key = generateApiKey(prefix);
        expect(new ApiKeyFormat(prefixes).accepts(key)).toBe(true);
        expect(new ApiKeyFormat(others).accepts(key)).toBe(others.includes(prefix));
        expect(isApiKeyOfAnyPrefix(key)).toBe(true);
        expect(key.startsWith(visiblePartOf(key))).toBe(true);
        expect(visiblePartOf(key)).toHaveLength(prefix.length + 5);
        expect(isVisiblePart(visiblePartOf(key))).toBe(true);
      }),
    );
  });

  it('is generated with the first prefix, and matches the pattern for scanners', () => {
    fc.assert(
      fc.property(PREFIXES, (prefixes) => {
        const { pattern, ...acme } = new ApiKeyFormat(prefixes);
        const key = new ApiKeyFormat(prefixes).generate();
        expect(acme.firstPrefix).toBe(prefixes[0]);
        expect(key.slice(0, -49)).toBe(prefixes[0]);
        for (const prefix of prefixes) expect(generateApiKey(prefix)).toMatch(new RegExp(`^${pattern}$`));
      }),
    );
    expect(new ApiKeyFormat().pattern).toBe('ua_[0-9A-Za-z]{49}');
    expect(new ApiKeyFormat(['acme_', 'ua_']).pattern).toBe('(acme_|ua_)[0-9A-Za-z]{49}');
  });

  it('is invalid after its prefix was exchanged', () => {
    fc.assert(
      fc.property(PREFIX, PREFIX, (one, other) => {
        const exchanged = other + generateApiKey(one).slice(one.length);
        expect(isApiKeyOfAnyPrefix(exchanged)).toBe(one === other);
      }),
    );
  });

  it('is no longer than its limits', () => {
    const longest = 'abcdefghijkl_mnopqrst_';

    expect(problemOfPrefixes([longest])).toBeUndefined();
    expect(generateApiKey(longest)).toHaveLength(MAX_API_KEY_LENGTH);
    expect(visiblePartOf(generateApiKey(longest))).toHaveLength(MAX_VISIBLE_LENGTH);
  });
});

describe('The prefixes of keys', () => {
  const MALFORMED = /^must list one or more prefixes of keys, such as acme_ or acme_live_: each must match \^/;

  it.each([[['ua_']], [['a_']], [['acme_', 'ua_']], [['acme_', 'acme_live_']], [['x9_0_', 'abcdefghijkl_12345678_']]])(
    'may be %j',
    (prefixes) => {
      expect(problemOfPrefixes(prefixes)).toBeUndefined();
    },
  );

  it.each([
    [[]],
    [['']],
    [['acme_', '']],
    [['_']],
    [['acme']],
    [['Acme_']],
    [['1acme_']],
    [['acme_live_eu_']],
    [['acme__']],
    [['acme_', ' ua_']],
    [['äcme_']],
    [['acme_\n']],
    [['abcdefghijklm_']],
    [['acme_123456789_']],
    ['acme_'],
    [[7]],
    [[['acme_']]],
    [null],
  ])('may not be %j', (prefixes) => {
    expect(problemOfPrefixes(prefixes)).toMatch(MALFORMED);
  });

  it('may not contain duplicates', () => {
    expect(problemOfPrefixes(['acme_', 'ua_', 'acme_'])).toBe('must not list a prefix twice');
  });
});
