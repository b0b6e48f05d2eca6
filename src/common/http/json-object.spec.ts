import fc from 'fast-check';
import { generateApiKey } from '../api-key-format.js';
import { InvalidJsonError, NotAnObjectError, parseJsonObject, quoted, TooDeepError } from './json-object.js';

const parse = (text: string): unknown => parseJsonObject(Buffer.from(text));

describe('parseJsonObject', () => {
  it('reads every object that JSON.stringify writes', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 20 })),
        fc.constantFrom(0, 1, '\t'),
        (value, indent) => {
          const text = JSON.stringify(value, null, indent);
          expect(parse(text)).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  it('refuses an object that gives any property twice, at any depth and in any spelling', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), fc.jsonValue(), fc.boolean(), (name, one, other, nested) => {
        const escaped = [...name]
          .map((character) =>
            [...Array(character.length).keys()]
              .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
              .join(''),
          )
          .join('');
        const object = `{${JSON.stringify(name)}:${JSON.stringify(one)}, "${escaped}" : ${JSON.stringify(other)}}`;
        expect(() => parse(nested ? `{"in":[1,${object}]}` : object)).toThrow(InvalidJsonError);
      }),
    );
  });

  it('refuses a number that rounding would turn into an integer, and accepts every spelling of an integer', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.nat(20), (integer, zeros) => {
        fc.pre(integer !== 0); // a number close to 0 is not rounded to an integer
        const digits = String(integer);
        for (const same of [
          digits,
          `${digits}.${'0'.repeat(zeros + 1)}`,
          `${digits}${'0'.repeat(zeros)}E-${String(zeros)}`,
        ])
          expect(parse(`{"a":[${same}]}`)).toEqual({ a: [Number(same)] });
        for (const other of [`${digits}.${'0'.repeat(20)}1`, `${digits}${'0'.repeat(20)}1e-21`])
          expect(() => parse(`{"a":${other}}`)).toThrow('more digits than can be kept');
      }),
    );
    expect(() => parse(`{"a":1.${'0'.repeat(1_000_000)}1}`)).toThrow('more digits than can be kept'); // in linear time
    expect(parse('{"a":"9007199254740993","b":0.1,"c":1e21,"d":-0,"e":0.0e5}')).toEqual({
      a: '9007199254740993',
      b: 0.1,
      c: 1e21,
      d: -0,
      e: 0,
    });
  });

  it('is not misled by strings that look like properties, nor by the same name in different objects', () => {
    expect(parse('{"a":"b\\":","b":"{\\"a\\":1}","c":{"a":1},"d":[{"a":1},{"a":2}]}')).toEqual({
      a: 'b":',
      b: '{"a":1}',
      c: { a: 1 },
      d: [{ a: 1 }, { a: 2 }],
    });
  });

  it('keeps __proto__ as a property of its own, for the pipe to refuse', () => {
    expect(Object.keys(parse('{"__proto__":1}') as object)).toEqual(['__proto__']);
  });

  it.each(['', ' ', 'null', '[]', '1', '"a"', '{', '{"a":1}x', "{'a':1}", '{"a":NaN}', '{"a":1,}', '\u0000'])(
    'refuses %j',
    (text) => {
      expect(() => parse(text)).toThrow(InvalidJsonError);
    },
  );

  it.each([
    ['', 'The body must be a JSON object, but it is empty'],
    ['\n\t ', 'The body must be a JSON object, but it is empty'],
    ['{', 'The body must be valid JSON'],
    ['null', 'The body must be a JSON object'],
    ['[]', 'The body must be a JSON object'],
    ['{"a":1,"a":2}', 'The body gives the property "a" twice'],
    ['{"a":1.00000000000000000001}', 'The body has a number with more digits than can be kept'],
    [`{"a":${'['.repeat(32)}${']'.repeat(32)}}`, 'The body must not be nested more than 32 levels deep'],
  ])('states what is wrong with %j, and names the text by its label', (text, message) => {
    const refusal = (label?: string): unknown => {
      try {
        return parseJsonObject(Buffer.from(text), label);
      } catch (error) {
        return (error as Error).message;
      }
    };

    expect([refusal(), refusal('the line')]).toEqual([message, message.replace('The body', 'the line')]);
  });

  it('is an error of the request body by default', () => {
    expect([new InvalidJsonError('x'), new NotAnObjectError(), new TooDeepError()]).toMatchObject([
      { kind: 'invalid', message: 'x' },
      { kind: 'invalid', message: 'The body must be a JSON object' },
      { kind: 'invalid', message: 'The body must not be nested more than 32 levels deep' },
    ]);
  });

  it('names the text whose bytes are not UTF-8', () => {
    expect(() => parseJsonObject(Buffer.from([0xff]), 'the line')).toThrow('the line must be in UTF-8');
  });

  it.each([
    ['0', 0],
    ['-0.0', -0],
    ['0e-999999', 0],
    ['10', 10],
    ['1e1', 10],
    ['1E+1', 10],
    ['100e-1', 10],
    ['0.1e2', 10],
    ['0.5', 0.5],
    ['0.010e3', 10],
    ['-12.50e1', -125],
  ])('reads %s as %d', (text, value) => {
    expect(parse(`{"a":${text}}`)).toEqual({ a: value });
  });

  it.each(['1e-400', '-1e-400', '0.99999999999999999999', '10.00000000000000000001', '99999999999999999999e-19'])(
    'refuses %s, which is not an integer but would be read as one',
    (text) => {
      expect(() => parse(`{"a":${text}}`)).toThrow('more digits than can be kept');
    },
  );

  it('refuses bytes that are not UTF-8, overlong forms and surrogates included', () => {
    for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xe9]]) {
      expect(() => parseJsonObject(Buffer.from([...Buffer.from('{"a":"'), ...bytes, ...Buffer.from('"}')]))).toThrow(
        'must be in UTF-8',
      );
    }
  });

  it('reads 32 levels, and refuses deeper nesting, up to the full 16 KiB', () => {
    const nested = (levels: number, [open, close]: readonly [string, string]): string =>
      `{"a":${open.repeat(levels - 1)}1${close.repeat(levels - 1)}}`;

    for (const brackets of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      expect(parse(nested(32, brackets))).toHaveProperty('a');
      for (const levels of [33, 2700]) expect(() => parse(nested(levels, brackets))).toThrow(/32 levels/);
    }
  });

  it('reads 16 KiB of escaped quotes', () => {
    expect(parse(`{"a":"${'\\"'.repeat(8000)}"}`)).toHaveProperty('a');
  });
});

describe('quoted', () => {
  it('truncates long names, so that a message cannot repeat a body', () => {
    expect(quoted('a'.repeat(64))).toBe(`"${'a'.repeat(64)}"`);
    expect(quoted('a'.repeat(65))).toBe(`"${'a'.repeat(64)}…"`);
    expect(quoted('a'.repeat(1000))).toBe(`"${'a'.repeat(64)}…"`);
    expect(quoted('"\n')).toBe('"\\"\\n"');
  });

  it('hides keys', () => {
    expect(quoted(`x${generateApiKey()}x`)).toBe('"xua_[redacted]x"');
  });
});
