import { jest } from '@jest/globals';
import fc from 'fast-check';
import { EXACT_NAME_PATTERN, MAX_NAME_LENGTH, parseUserName, SIMPLE_NAME_PATTERN } from './user-name.js';
import { InvalidUserNameError } from './users.errors.js';

describe('parseUserName', () => {
  it.each([
    ['Ada', 'Ada'],
    ['  Ada\u3000', 'Ada'],
    ['Ame\u0301lie', 'Am\u00e9lie'],
    ['\ufeffAda', 'Ada'],
    ['\u2028Ada\u2029', 'Ada'], // what is trimmed off may be anything that is no part of the name
    ['محمد', 'محمد'],
    ['👩‍👩‍👧', '👩‍👩‍👧'],
    ['A\u200fB', 'A\u200fB'], // a direction mark shows nothing, but forbids nothing either
    ["O'Brien; DROP TABLE users;--", "O'Brien; DROP TABLE users;--"],
    ['<b>Ada</b>', '<b>Ada</b>'],
    ['-', '-'],
    ['é'.repeat(255), 'é'.repeat(255)],
    ['e\u0301'.repeat(255), 'é'.repeat(255)], // 510 code points become 255
    ['😀'.repeat(255), '😀'.repeat(255)],
    [` ${'x'.repeat(255)} `, 'x'.repeat(255)],
  ])('brings %j into its stored form', (raw, name) => {
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

describe('The length of a name', () => {
  it('is looked at before NFC, whose work grows with the square of the marks on a letter', () => {
    const normalize = jest.spyOn(String.prototype, 'normalize');

    expect(() => parseUserName(`a${'\u0301\u0323'.repeat(2_000)}`)).toThrow(InvalidUserNameError);
    expect(normalize).not.toHaveBeenCalled();
    normalize.mockRestore();
  });

  it('lets every name pass however it is decomposed', () => {
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
    // The longest decompositions that there are: of four code units, and of six.
    for (const character of ['\u1f82', '\u{16126}'])
      expect(parseUserName(character.repeat(255).normalize('NFD'))).toBe(character.repeat(255));
  });
});

describe('The exact pattern of the document', () => {
  it('takes each code point by itself just as the code does', () => {
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
      if (text !== text.trim().normalize('NFC')) continue; // never the form that is stored
      if (exact.test(text) !== isName(text) || exact.test(`1${text}1`) !== isName(`1${text}1`))
        different.push(codePoint.toString(16));
    }

    expect(different).toEqual([]);
  });
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
    let names = 0;
    fc.assert(
      fc.property(raw, (text) => {
        fc.pre(accepted(text));
        names += 1;
        expect(text).toMatch(new RegExp(SIMPLE_NAME_PATTERN));
        expect(text).toMatch(new RegExp(SIMPLE_NAME_PATTERN, 'u'));
        expect(Buffer.from(text).toString('latin1')).toMatch(new RegExp(SIMPLE_NAME_PATTERN));
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
