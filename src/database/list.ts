import type { DataSource, ObjectLiteral } from 'typeorm';
import { type Page, PageOutOfReachError, type Slice } from '../common/pagination/page.js';

/**
 * Rows from the newest that are counted, and that a page number may pass over: some milliseconds of work. Beyond them the total is
 * the planner's estimate, and pages are found by the place where the one before them ended.
 */
const REACH = 10_000;

/*
 * The newest rows first, twice over: `created_at` is never null, but the planner does not take one of these orders for the other. It
 * would otherwise read the index of the whole table for every filter that it believes to let many rows pass, and walk over millions
 * where those that do are all old.
 */
export const NEWEST = 'created_at DESC, id DESC';
/** Of a table without a filter. */
export const NEWEST_OF_ALL = 'created_at DESC NULLS LAST, id DESC';

/** A table with `created_at` and `id`, and the rows of it that are wanted. */
export interface List {
  readonly columns: string;
  readonly table: string;
  /** A condition. */
  readonly filter: string;
  readonly parameters: readonly unknown[];
  readonly order: typeof NEWEST | typeof NEWEST_OF_ALL;
}

/**
 * One slice of a list, the newest rows first: two rows never share a place, so the order is total. It takes some milliseconds however
 * long the list is.
 *
 * @throws PageOutOfReachError when the rows before the slice are too many to pass over
 */
export async function findNewest<Row extends ObjectLiteral>(
  database: DataSource,
  list: List,
  { limit, offset, after }: Slice,
): Promise<Page<Row>> {
  const { columns, table, filter, parameters, order } = list;
  if (offset > REACH && (await count(database, list)) > REACH) throw new PageOutOfReachError(REACH);

  const next = parameters.length + 1;
  const start = after ? `AND (created_at, id) < ($${String(next + 2)}, $${String(next + 3)})` : '';
  const found = await database.query<Row[]>(
    `SELECT ${columns} FROM ${table} WHERE ${filter} ${start}
      ORDER BY ${order} LIMIT $${String(next)} OFFSET $${String(next + 1)}`,
    [...parameters, limit + 1, offset, ...(after ? [after.createdAt, after.id] : [])],
  );
  const rows = found.slice(0, limit);
  const more = found.length > limit; // the one row beyond the slice tells
  const isLast = !more && !after && (rows.length > 0 || offset === 0);
  if (isLast) return { rows, more, total: offset + rows.length };
  const seen = rows.length > 0 && !after ? offset + found.length : 0; // an estimate may be lower
  return { rows, more, total: Math.max(seen, await total(database, list)) };
}

async function total(database: DataSource, list: List): Promise<number> {
  const counted = await count(database, list);
  if (counted <= REACH) return counted;
  const { table, filter, parameters } = list;
  const [
    {
      'QUERY PLAN': [{ Plan: plan }],
    },
  ] = await database.query<[{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }]>(
    `EXPLAIN (FORMAT JSON) SELECT FROM ${table} WHERE ${filter}`,
    [...parameters],
  );
  return Math.max(counted, plan['Plan Rows']);
}

/** The number of rows, or one more than `REACH` for any number beyond it. */
async function count(database: DataSource, { table, filter, parameters, order }: List): Promise<number> {
  // Without the order the planner hopes to come across enough of them soon, and reads the table to its end for a few.
  const found = `SELECT FROM ${table} WHERE ${filter} ORDER BY ${order} LIMIT ${String(REACH + 1)}`;
  const [{ rows }] = await database.query<[{ rows: number }]>(`SELECT count(*)::int AS rows FROM (${found}) AS found`, [
    ...parameters,
  ]);
  return rows;
}
