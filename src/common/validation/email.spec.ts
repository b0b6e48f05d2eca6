import { isAscii, isEmailAddress } from './email.js';

describe('isEmailAddress', () => {
  it.each(['ada@example.com', 'ada+x@mail.example.com', 'ADA@EXAMPLE.COM'])('takes %j', (value) => {
    expect([isAscii(value), isEmailAddress(value)]).toEqual([true, true]);
  });

  it.each(['ada', '@example.com', 'ada@', 'a,b@example.com'])(
    'refuses %j, which is ASCII but not an address',
    (value) => {
      expect([isAscii(value), isEmailAddress(value)]).toEqual([true, false]);
    },
  );

  it.each([
    'adä@example.com',
    'äda@example.com',
    'ada@example.com ',
    ' ada@example.com',
    'ada@example.com\n',
    'a\x7f@example.com',
    '',
    null,
    undefined,
    ['ada@example.com'],
  ])('refuses %j, which no user can have', (value) => {
    expect([isAscii(value), isEmailAddress(value)]).toEqual([false, false]);
  });

  it('takes the first and the last of the visible characters of ASCII', () => {
    expect([isAscii('!'), isAscii('~'), isAscii('~!')]).toEqual([true, true, true]);
  });
});
