import { raw, type Sql } from 'sql-template-tag';

/** The columns of a table by the properties of its rows in TypeScript. */
export type Columns<Row> = Readonly<Record<keyof Row & string, string>>;

/** A select list in which each column has the name of its property as its alias. */
export const selectList = (columns: Readonly<Record<string, string>>, table: string): Sql =>
  raw(
    Object.entries(columns)
      .map(([property, column]) => `${table}.${column}${property === column ? '' : ` AS "${property}"`}`)
      .join(', '),
  );
