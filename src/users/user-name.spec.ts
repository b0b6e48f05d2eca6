import { parseUserName } from './user-name.js';
import { InvalidUserNameError } from './users.errors.js';

describe('parseUserName', () => {
  it.each([
    ['Ada', 'Ada'],
    ['  Ada\u3000', 'Ada'],
    ['Ame\u0301lie', 'Am\u00e9lie'],
    ['\ufeffAda', 'Ada'],
    ['محمد', 'محمد'],
    ['👩‍👩‍👧', '👩‍👩‍👧'],
    ['A\u200fB', 'A\u200fB'], // a direction mark shows nothing, but forbids nothing either
    ["O'Brien; DROP TABLE users;--", "O'Brien; DROP TABLE users;--"],
    ['<b>Ada</b>', '<b>Ada</b>'],
    ['-', '-'],
    ['é'.repeat(255), 'é'.repeat(255)],
    ['e\u0301'.repeat(255), 'é'.repeat(255)], // 510 code points become 255
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
    'a\u0085b',
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
