import { Rows } from './rows.js';

interface Row {
  readonly id: string;
  readonly company?: string | null;
}

describe('Rows', () => {
  const rows = new Rows<Row>({
    id: ['uuid', ({ id }) => id],
    company: ['text', ({ company }) => company],
    company_given: ['boolean', ({ company }) => company !== undefined],
  });
  const batch: Row[] = [{ id: 'a' }, { id: 'b', company: null }, { id: 'c', company: 'C' }];

  it('have the same columns in the text and in the values, in one order', () => {
    expect(rows.prepared('request').text).toBe(
      'unnest((SELECT $1::uuid[]), (SELECT $2::text[]), (SELECT $3::boolean[])) AS request (id, company, company_given)',
    );
    expect(rows.values(batch)).toEqual([
      ['a', 'b', 'c'],
      [undefined, null, 'C'],
      [false, true, true],
    ]);
  });

  it('are numbered with the other parameters of a statement that is not prepared', () => {
    const { text, values } = rows.of(batch, 'request');

    expect(text).toBe('unnest($1::uuid[], $2::text[], $3::boolean[]) AS request (id, company, company_given)');
    expect(values).toEqual(rows.values(batch));
  });
});
