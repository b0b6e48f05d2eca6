import sql, { join, raw, type Sql } from 'sql-template-tag';

/**
 * The SQL type of a column, and its value in a row. A type with its own notation, such as an array,
 * is given as text.
 */
export type Column<Row> = readonly [type: string, value: (row: Row) => unknown];

/**
 * Rows that a statement takes as parameters. Each column is declared once, with its name, type and
 * value, and is sent as one array.
 */
export class Rows<Row> {
  /** @param columns by their names in SQL */
  constructor(private readonly columns: Readonly<Record<string, Column<Row>>>) {}

  /**
   * The rows, for the FROM clause of a prepared `Statement`, which must have no other parameters.
   *
   * PostgreSQL keeps the generic plan of a prepared statement only while it is not estimated to be
   * more expensive than a plan for the values at hand. It estimates an array of unknown length at
   * ten elements and a known array at its length, so it would plan each execution, and planning
   * costs several times as much as running these statements. See docs/performance.md.
   */
  prepared(alias: string): Sql {
    const arrays = Object.values(this.columns).map(([type], index) => opaqueArray(index + 1, type));
    return raw(`unnest(${arrays.join(', ')}) AS ${alias} (${this.names})`);
  }

  /** The parameters of the prepared statement. */
  values(rows: readonly Row[]): unknown[][] {
    return Object.values(this.columns).map(([, value]) => rows.map(value));
  }

  /** The rows, for the FROM clause of any other statement. */
  of(rows: readonly Row[], alias: string): Sql {
    const arrays = Object.values(this.columns).map(([type, value]) => sql`${rows.map(value)}::${raw(type)}[]`);
    return sql`unnest(${join(arrays, ', ')}) AS ${raw(`${alias} (${this.names})`)}`;
  }

  private get names(): string {
    return Object.keys(this.columns).join(', ');
  }
}

/** An array whose length is hidden from the planner. */
const opaqueArray = (parameter: number, type: string): string => `(SELECT $${String(parameter)}::${type}[])`;
