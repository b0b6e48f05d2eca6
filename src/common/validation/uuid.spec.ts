import { validateSync } from 'class-validator';
import fc from 'fast-check';
import { EXAMPLE_USER_ID, IsId, isUuid, UUID_SCHEMA } from './uuid.js';

class Request {
  @IsId()
  readonly id: unknown;

  constructor(id: unknown) {
    this.id = id;
  }
}

describe('isUuid', () => {
  it('takes a UUID of any version, in upper or lower case, as the schema of the document does', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uuid(), fc.constant(EXAMPLE_USER_ID)), fc.boolean(), (id, isUpper) => {
        const text = isUpper ? id.toUpperCase() : id;
        expect(isUuid(text)).toBe(true);
        expect(text).toMatch(new RegExp(UUID_SCHEMA.pattern));
        expect(text).toHaveLength(UUID_SCHEMA.maxLength);
        expect(validateSync(new Request(text))).toEqual([]);
      }),
    );
    expect(UUID_SCHEMA.format).toBe('uuid');
  });

  it.each([
    '',
    EXAMPLE_USER_ID.slice(1),
    EXAMPLE_USER_ID.slice(0, -1),
    `0${EXAMPLE_USER_ID}`,
    `${EXAMPLE_USER_ID}0`,
    `${EXAMPLE_USER_ID}\n`,
    `{${EXAMPLE_USER_ID}}`,
    EXAMPLE_USER_ID.replaceAll('-', ''),
    EXAMPLE_USER_ID.replace('0', 'g'),
    EXAMPLE_USER_ID.replace('-7', '-'),
    null,
    undefined,
    [EXAMPLE_USER_ID],
  ])('refuses %j, as an id field does', (value) => {
    expect(isUuid(value)).toBe(false);
    expect(validateSync(new Request(value))).toMatchObject([{ constraints: { matches: 'id must be a UUID' } }]);
  });
});
