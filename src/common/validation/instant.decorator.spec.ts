import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { INSTANT_SCHEMA, invalidInstant, IsInstant, MAX_INSTANT_LENGTH, parseInstant } from './instant.decorator.js';

const NO_INSTANT = ' must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z';

describe('parseInstant', () => {
  it.each([
    ['2030-01-01T00:00:00Z', '2030-01-01T00:00:00.000Z'],
    ['2030-01-01t00:00:00z', '2030-01-01T00:00:00.000Z'],
    ['0001-01-01t00:00:00z', '0001-01-01T00:00:00.000Z'],
    ['2030-01-01T02:30:00.5+02:30', '2030-01-01T00:00:00.500Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
    [`2030-01-01T00:00:00.${'9'.repeat(43)}Z`, '2030-01-01T00:00:00.999Z'],
  ])('reads %s', (text, instant) => {
    expect(parseInstant(text)?.toISOString()).toBe(instant);
  });

  it.each([
    '',
    '2030-01-01',
    '2030-01-01T00:00Z',
    '2030-01-01T00:00:00',
    '2030-02-30T00:00:00Z',
    '2030-01-01T24:00:00Z',
    '0000-01-01T00:00:00Z',
    '9999-12-31T23:59:59-01:00',
    `2030-01-01T00:00:00.${'9'.repeat(44)}Z`,
    0,
    null,
    new Date(0),
  ])('is null for %p', (value) => {
    expect(parseInstant(value)).toBeNull();
  });
});

describe('IsInstant', () => {
  class Request {
    @IsInstant()
    readonly expires_at: unknown;
  }
  const request = (expires_at: unknown): Request => plainToInstance(Request, { expires_at });

  it('converts the text to a Date', () => {
    expect(request('2030-01-01T01:00:00+01:00')).toEqual({ expires_at: new Date('2030-01-01T00:00:00Z') });
    expect(validateSync(request('2030-01-01T01:00:00+01:00'))).toEqual([]);
  });

  it.each(['2030-01-01', '2030-02-30T00:00:00Z', 0, null, undefined])('refuses %p', (value) => {
    expect(validateSync(request(value))).toMatchObject([{ constraints: { isDate: `expires_at${NO_INSTANT}` } }]);
    expect(invalidInstant('expires_at')).toMatchObject({ kind: 'invalid', message: `expires_at${NO_INSTANT}` });
  });

  it('may have another message', () => {
    class Other {
      @IsInstant({ message: 'not now' })
      readonly at: unknown;
    }

    expect(validateSync(plainToInstance(Other, { at: 'x' }))).toMatchObject([{ constraints: { isDate: 'not now' } }]);
  });
});

describe('The schema of an instant', () => {
  it('allows texts of the length that is parsed', () => {
    expect(INSTANT_SCHEMA).toEqual({ type: String, format: 'date-time', maxLength: MAX_INSTANT_LENGTH });
  });
});
