import fc from 'fast-check';
import { ApiKeyFormat, generateApiKey, redactKeys } from './api-key-format.js';

/* In its own file: once listed, a prefix applies to the whole process. */
describe('redactKeys', () => {
  it('hides a key anywhere in a text', () => {
    const key = generateApiKey();

    expect(redactKeys(`a ${key}, b${key}c`)).toBe('a ua_[redacted], bua_[redacted]c');
  });

  it('hides a key that lacks a part of its checksum, which anyone can compute', () => {
    const key = generateApiKey();

    for (const missing of [1, 3, 6]) expect(redactKeys(`x ${key.slice(0, -missing)} y`)).toBe('x ua_[redacted] y');
  });

  it('hides a key whose prefix is not listed, and nothing else of that shape', () => {
    const digest = `cache_${'0123456789abcdef'.repeat(4)}`;
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z][a-z0-9]{0,11}(_[a-z0-9]{1,8})?_$/),
        fc.string(),
        fc.constantFrom('', 'n', '3D', '_', 'x_'),
        (prefix, text, before) => {
          const key = generateApiKey(prefix);
          const redacted = redactKeys(`${text}${before}${key} ${digest}`);
          expect(redacted).not.toContain(key.slice(prefix.length));
          expect(redacted.endsWith(`${prefix}[redacted] ${digest}`)).toBe(true);
        },
      ),
    );
  });

  it('hides a mistyped key with the default prefix and with every prefix that was listed', () => {
    const mistyped = `hidden_too_${'x'.repeat(50)}`; // one character too many
    new ApiKeyFormat(['hidden_', 'hidden_too_']);

    expect(redactKeys(`${generateApiKey().slice(0, -6)}000000`)).toBe('ua_[redacted]');
    expect(redactKeys(mistyped)).toBe('hidden_too_[redacted]x');
    expect(redactKeys(`x${'0'.repeat(99)}_hidden_${'0'.repeat(49)}`)).toBe(`x${'0'.repeat(99)}_hidden_[redacted]`);
  });

  it('takes linear time', () => {
    const texts = ['a'.repeat(1e6), '_'.repeat(1e6), 'a_'.repeat(5e5), `_${'a'.repeat(48)}`.repeat(2e4)];

    expect(texts.map(redactKeys)).toEqual(texts);
  });
});
