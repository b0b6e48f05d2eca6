import { jest } from '@jest/globals';
import fc from 'fast-check';
import {
  EXACT_NAME_PATTERN,
  MAX_NAME_LENGTH,
  NAME_CHECK,
  NAME_RULE,
  parseUserName,
  SIMPLE_NAME_PATTERN,
} from './user-name.js';
import { InvalidUserNameError } from './users.errors.js';

describe('parseUserName', () => {
  it.each([
    ['Ada', 'Ada'],
    ['  Ada\u3000', 'Ada'],
    ['Ame\u0301lie', 'Am\u00e9lie'],
    ['\ufeffAda', 'Ada'],
    ['\u2028Ada\u2029', 'Ada'], // characters that are forbidden in a name may be trimmed off
    ['محمد', 'محمد'],
    ['👩‍👩‍👧', '👩‍👩‍👧'],
    ['A\u200fB', 'A\u200fB'], // a direction mark is invisible, but allowed
    ["O'Brien; DROP TABLE users;--", "O'Brien; DROP TABLE users;--"],
    ['<b>Ada</b>', '<b>Ada</b>'],
    ['-', '-'],
    ['é'.repeat(255), 'é'.repeat(255)],
    ['e\u0301'.repeat(255), 'é'.repeat(255)], // 510 code points become 255
    ['😀'.repeat(255), '😀'.repeat(255)],
    [` ${'x'.repeat(255)} `, 'x'.repeat(255)],
  ])('converts %j to its stored form', (raw, name) => {
    expect(parseUserName(raw)).toBe(name);
  });

  it.each([
    '',
    ' ',
    '\u200b',
    '\u00ad\u034f',
    '\u3164',
    '\u2800',
    '\ufe0f',
    '\uffff',
    '\u{1fffe}\u{10ffff}',
    'a\u0000',
    'a\u001fb',
    'a\u007fb',
    'a\u0085b',
    'a\u2028b',
    'a\u2029b',
    'a\u202eb',
    'a\u2066b',
    '\ud83d',
    'a\udc00b',
    'x'.repeat(256),
    '😀'.repeat(256),
  ])('refuses %j', (raw) => {
    expect(() => parseUserName(raw)).toThrow(InvalidUserNameError);
  });
});

describe('A refusal', () => {
  it.each([
    ['x'.repeat(256), 'name must be at most 255 characters long'],
    ['😀'.repeat(256), 'name must be at most 255 characters long'],
    [
      ' ',
      'name must have at least one visible character, and no control characters, line separators, lone surrogates or bidirectional controls',
    ],
  ])('of %j states the reason', (raw, message) => {
    expect(() => parseUserName(raw)).toThrow(new InvalidUserNameError(message));
  });
});

describe('The length of a name', () => {
  it('is checked before NFC, whose time is quadratic in the number of marks on a letter', () => {
    const normalize = jest.spyOn(String.prototype, 'normalize');

    expect(() => parseUserName(`a${'\u0301\u0323'.repeat(2_000)}`)).toThrow(InvalidUserNameError);
    expect(normalize).not.toHaveBeenCalled();
    normalize.mockRestore();
  });

  it('allows every name in any decomposition', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (raw) => {
        const name = raw.trim().normalize('NFC');
        fc.pre(Array.from(name).length <= MAX_NAME_LENGTH);
        const outcome = (text: string): string => {
          try {
            return parseUserName(text);
          } catch (error) {
            return (error as Error).message;
          }
        };
        expect(outcome(name.normalize('NFD'))).toBe(outcome(name));
      }),
    );
    // The longest decompositions: of four code units, and of six.
    for (const character of ['\u1f82', '\u{16126}'])
      expect(parseUserName(character.repeat(255).normalize('NFD'))).toBe(character.repeat(255));
  });
});

describe('The exact pattern of the document', () => {
  it('contains each single character once', () => {
    expect(EXACT_NAME_PATTERN).toContain('\\u0020\\u00a0\\u1680\\u2000-\\u200a');
  });

  it('accepts the same single code points as the code', () => {
    const isName = (text: string): boolean => {
      try {
        return parseUserName(text) === text;
      } catch {
        return false;
      }
    };
    const exact = new RegExp(EXACT_NAME_PATTERN, 'u');
    const different: string[] = [];
    for (let codePoint = 0; codePoint <= 0x10ffff; codePoint += 1) {
      const text = String.fromCodePoint(codePoint);
      if (text !== text.trim().normalize('NFC')) continue; // not in the stored form
      if (exact.test(text) !== isName(text) || exact.test(`1${text}1`) !== isName(`1${text}1`))
        different.push(codePoint.toString(16));
    }

    expect(different).toEqual([]);
  });
});

describe('The constraint of the database', () => {
  const [, exact = '', spaceAtAnEnd = ''] =
    /^char_length\(name\) BETWEEN 1 AND 255 AND name IS NFC NORMALIZED AND name COLLATE "C" ~ '(\^.*\$)' AND name COLLATE "C" !~ '(.*)'$/.exec(
      NAME_CHECK,
    ) ?? [];
  /** The spelling of ECMA-262. PostgreSQL has four digits after u, and eight after U. */
  const inJavaScript = (pattern: string): string =>
    pattern.replace(/\\U([0-9a-f]{8})/g, (_, digits: string) => `\\u{${digits.replace(/^0+/, '')}}`);

  it('has the exact pattern, without NUL and surrogates, which no text in PostgreSQL contains', () => {
    expect(exact).toMatch(/^(\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|[\^[\]*$-])+$/);
    expect(inJavaScript(exact)).toBe(
      EXACT_NAME_PATTERN.replaceAll('\\u0000-', '\\u0001-').replaceAll('\\ud800-\\udfff', ''),
    );
  });

  it('refuses the characters that are trimmed off, at either end and nowhere else', () => {
    const atAnEnd = new RegExp(inJavaScript(spaceAtAnEnd), 'u');
    const allowed = new RegExp(EXACT_NAME_PATTERN, 'u');
    const different: string[] = [];
    for (let codePoint = 0; codePoint <= 0xffff; codePoint += 1) {
      const text = String.fromCodePoint(codePoint);
      if (!allowed.test(`a${text}`)) continue; // the exact pattern already refuses it
      const isTrimmed = text.trim() === '';
      const found = [`${text}a`, `a${text}`, `a${text}a`].map((name) => atAnEnd.test(name));
      if (found.join() !== [isTrimmed, isTrimmed, false].join()) different.push(codePoint.toString(16));
    }

    expect(different).toEqual([]);
  });
});

it('is described in words, with each group of characters that is refused', () => {
  expect(NAME_RULE).toMatch(
    /White space at both ends .* NFC\. .* 1 to 255 code points, .*U\+007F-U\+009F.*U\+2028, U\+2029.*lone surrogate\. .*`x-exact-pattern`/,
  );
});

describe('The simple pattern of the document', () => {
  const accepted = (raw: string): boolean => {
    try {
      parseUserName(raw);
      return true;
    } catch {
      return false;
    }
  };

  it('refuses no name that a request may have, by characters, by code units and by bytes', () => {
    const unit = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
      fc.constantFrom(
        '\t',
        '\n',
        '\v',
        '\f',
        '\r',
        ' ',
        '\u2028',
        '\ufeff',
        '\u3000',
        '\u0085',
        '\u009f',
        '\u001f',
        'a',
        '😀',
      ),
    );
    const raw = fc.array(unit, { minLength: 1, maxLength: 6 }).map((units) => units.join(''));
    const [simple, unicode] = [new RegExp(SIMPLE_NAME_PATTERN), new RegExp(SIMPLE_NAME_PATTERN, 'u')];
    let names = 0;
    fc.assert(
      fc.property(raw, (text) => {
        fc.pre(accepted(text));
        names += 1;
        const bytes = Buffer.from(text).toString('latin1');
        expect([simple.test(text), unicode.test(text), simple.test(bytes)]).toEqual([true, true, true]);
      }),
      { numRuns: 10_000 },
    );
    expect(names).toBe(10_000);
  });

  it.each(['', 'a\u0000', 'a\u0007b', 'a\u001fb', 'a\u007f'])('refuses %j', (raw) => {
    expect(accepted(raw)).toBe(false);
    expect(raw).not.toMatch(new RegExp(SIMPLE_NAME_PATTERN));
  });
});
