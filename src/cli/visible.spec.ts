import { assert, constantFrom, jsonValue, oneof, property, string } from 'fast-check';
import { counted, visible, visibleLines } from './visible.js';

const UNSAFE = ['\0', '\b', '\n', '\r', '\x1b', '\x7f', '\x85', '\x9b', '\x9f', '\u061c', '\u200e', '\u200f', '\u2028'];
const MORE_UNSAFE = ['\u2029', '\u202a', '\u202e', '\u2066', '\u2069'];
const text = oneof(string({ unit: 'binary' }), constantFrom(...UNSAFE, ...MORE_UNSAFE));

describe('visible', () => {
  it.each([...UNSAFE, ...MORE_UNSAFE])('replaces %j by its escape', (character) => {
    const escape = `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;

    expect(visible(`a${character}b`)).toBe(`a${escape}b`);
  });

  it('leaves letters, marks, emoji and spaces as they are', () => {
    for (const kept of ['Ada Lovelace', 'Zoë', 'अदा', '👩‍👩‍👧', 'a\u00a0b', '\ufeff', '🏴󠁧󠁢󠁥󠁮󠁧󠁿'])
      expect(visible(kept)).toBe(kept);
  });

  it('replaces every unsafe character except line feeds in a text whose line feeds are kept', () => {
    expect([visible('a\n\x1bb\n'), visibleLines('a\n\x1bb\n')]).toEqual(['a\\u000a\\u001bb\\u000a', 'a\n\\u001bb\n']);
  });

  it('leaves no control sequence for a terminal, and does not change the value of JSON', () => {
    assert(
      property(jsonValue({ stringUnit: 'binary' }), text, (value, part) => {
        const json = JSON.stringify({ [part]: value, part }, null, 2);
        const shown = visibleLines(json);

        expect(shown.replaceAll('\n', '')).toBe(visible(shown.replaceAll('\n', '')));
        expect(JSON.parse(shown)).toEqual(JSON.parse(json));
      }),
    );
  });
});

it.each([
  [0, '0 lines'],
  [1, '1 line'],
  [2, '2 lines'],
])('counted(%d) is %j', (count, expected) => {
  expect(counted(count, 'line')).toBe(expected);
});
