import sql from 'sql-template-tag';
import { Statement } from './statement.js';

describe('Statement', () => {
  it('refuses a name that another statement has: a connection has one text for each name', () => {
    new Statement('taken', sql`SELECT 1`);

    expect(() => new Statement('taken', sql`SELECT 1`)).toThrow('Two statements have the name taken');
  });

  it('refuses parameters with fixed values', () => {
    expect(() => new Statement('with_values', sql`SELECT ${1}`)).toThrow('with_values');
  });
});
