import { conditionsOf, entityTag, versionsExcluded, versionsMatching } from './entity-tag.js';

const id = '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90';

describe('versionsMatching', () => {
  it('reads back what entityTag writes', () => {
    expect(versionsMatching(entityTag({ id, version: '7' }), id)).toEqual(['7']);
  });

  it('recognizes the row by an id in upper case, which a path may contain', () => {
    expect(versionsMatching(entityTag({ id, version: '7' }), id.toUpperCase())).toEqual(['7']);
  });

  it.each([undefined, '*', ' * '])('accepts any version for %j', (header) => {
    expect(versionsMatching(header, id)).toBeUndefined();
  });

  it('takes every tag of a list that names this row', () => {
    expect(versionsMatching(`"x", "${id}.1" ,"${id}.22"`, id)).toEqual(['1', '22']);
  });

  it.each([
    '',
    '"',
    '"1"',
    `W/"${id}.1"`,
    `"${id}.1`,
    `${id}.1`,
    `"${id}.-1"`,
    `"${id}.01"`,
    `"${id}.0"`,
    `"${id}.9999999999999999999"`,
    `"${id}."`,
    `"x${id}.1"`,
    `"${id}.1"x`,
    `x"${id}.1"`,
    `"${id}x1"`,
  ])('accepts no version for %j', (header) => {
    expect(versionsMatching(header, id)).toEqual([]);
  });
});

describe('versionsExcluded', () => {
  it.each([
    [undefined, []],
    ['', []],
    ['*', '*'],
    [' * ', '*'],
    ['"x", *', '*'],
    [`"${id}.1"`, ['1']],
    [`W/"${id}.1" , "x",W/"${id}.22"`, ['1', '22']],
    [`"W/${id}.1"`, []],
    [`xW/"${id}.1"`, []],
    ['"1"', []],
  ])('of %j is %j', (header, versions) => {
    expect(versionsExcluded(header, id)).toEqual(versions);
  });
});

it('reads each condition from its own header', () => {
  const headers = { 'if-match': `"${id}.1"`, 'if-none-match': `"${id}.2"` };

  expect(conditionsOf(headers, id)).toEqual({ ifVersions: ['1'], unlessVersions: ['2'] });
  expect(conditionsOf({}, id)).toEqual({ ifVersions: undefined, unlessVersions: [] });
});
