import type { DataSource, ObjectLiteral } from 'typeorm';
import { checkSlice, type Page, PageOutOfReachError, type Slice } from '../common/pagination/page.js';

/**
 * Rows from the newest that are counted, and that a page number may pass over: some milliseconds of work. Beyond them the total is
 * the planner's estimate, and pages are found by the place where the one before them ended.
 */
const REACH = 10_000;

/*
 * The newest rows first, twice over: `created_at` is never null, but the planner takes no index of the one order for the other. Where a
 * filter has an index of its own and another index holds its rows among others, each has an order of its own, so that the planner cannot
 * walk over millions of others where it believes that most rows pass and none does.
 */
export const NEWEST = 'created_at DESC, id DESC';
export const NEWEST_NULLS_LAST = 'created_at DESC NULLS LAST, id DESC';

/** A table with `created_at` and `id`, and the rows of it that are wanted. */
export interface List {
  readonly columns: string;
  readonly table: string;
  /** A condition. */
  readonly filter: string;
  readonly parameters: readonly unknown[];
  /** A column and either one value or all that it has: the rows of each are a list that an index has in order, and these are merged. */
  readonly of?: { readonly column: string; readonly values: readonly string[] };
  readonly order: typeof NEWEST | typeof NEWEST_NULLS_LAST;
}

/**
 * One slice of a list, the newest rows first: two rows never share a place, so the order is total. It takes some milliseconds however
 * long the list is.
 *
 * @throws InvalidSliceError, or PageOutOfReachError when the rows before the slice are too many to pass over
 */
export async function findNewest<Row extends ObjectLiteral>(
  database: DataSource,
  list: List,
  slice: Slice,
): Promise<Page<Row>> {
  checkSlice(slice);
  const { limit, offset, after } = slice;
  if (offset > REACH && (await count(database, list)) > REACH) throw new PageOutOfReachError(REACH);

  const { columns, order } = list;
  const parameters = parametersOf(list);
  const place = (n: number): string => `$${String(parameters.length + n)}`;
  const start = after ? `AND (created_at, id) < (${place(3)}, ${place(4)})` : '';
  const found = await database.query<Row[]>(
    `SELECT ${columns} FROM ${newest(list, '*', `${place(1)}::bigint + ${place(2)}::bigint`, start)}
      ORDER BY ${order} LIMIT ${place(1)} OFFSET ${place(2)}`,
    [...parameters, limit + 1, offset, ...(after ? [after.createdAt, after.id] : [])],
  );
  const rows = found.slice(0, limit);
  const more = found.length > limit; // the one row beyond the slice tells
  const isLast = !more && !after && (rows.length > 0 || offset === 0);
  if (isLast) return { rows, more, total: offset + rows.length };
  const seen = rows.length > 0 && !after ? offset + found.length : 0; // an estimate may be lower
  return { rows, more, total: Math.max(seen, await total(database, list)) };
}

const parametersOf = ({ parameters, of }: List): unknown[] => [...parameters, ...(of?.values ?? [])];

/** Of each list that is merged. */
const filtersOf = ({ filter, parameters, of }: List): string[] =>
  of ? of.values.map((_, n) => `${filter} AND ${of.column} = $${String(parameters.length + n + 1)}`) : [filter];

/**
 * The newest rows of each list that is merged, for whoever merges or counts them. Each is in its order, so PostgreSQL reads no more of any
 * than is taken.
 */
function newest(list: List, columns: string, limit: string, start = ''): string {
  const { table, order } = list;
  const each = filtersOf(list).map(
    (filter) => `(SELECT ${columns} FROM ${table} WHERE ${filter} ${start} ORDER BY ${order} LIMIT ${limit})`,
  );
  return `(${each.join(' UNION ALL ')}) AS ${table}`; // as the columns have it
}

async function total(database: DataSource, list: List): Promise<number> {
  const counted = await count(database, list);
  if (counted <= REACH) return counted;
  const { table, filter, of, parameters } = list;
  const whole = of?.values.length !== 1; // the estimates of all values do not add up to that of the whole
  const [
    {
      'QUERY PLAN': [{ Plan: plan }],
    },
  ] = await database.query<[{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }]>(
    `EXPLAIN (FORMAT JSON) SELECT FROM ${table} WHERE ${whole ? filter : filtersOf(list).join()}`,
    whole ? [...parameters] : parametersOf(list),
  );
  return Math.max(counted, plan['Plan Rows']);
}

/** The number of rows, or one more than `REACH` for any number beyond it. */
async function count(database: DataSource, list: List): Promise<number> {
  const limit = String(REACH + 1);
  // Without the order the planner hopes to come across enough of them soon, and reads the table to its end for a few.
  const [{ rows }] = await database.query<[{ rows: number }]>(
    `SELECT count(*)::int AS rows FROM (SELECT FROM ${newest(list, 'id', limit)} LIMIT ${limit}) AS found`,
    parametersOf(list),
  );
  return rows;
}
