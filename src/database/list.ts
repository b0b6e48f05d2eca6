import sql, { join, raw, type Sql } from 'sql-template-tag';
import type { DataSource, ObjectLiteral } from 'typeorm';
import { checkPageWindow, type Page, PageOutOfReachError, type PageWindow } from '../common/pagination/page.js';
import type { Cursor } from '../common/pagination/cursor.js';
import { query } from './query.js';
import { firstOf } from './statement.js';

/**
 * Maximum number of rows that are counted exactly, or skipped by a page number: some milliseconds
 * of work. Beyond them the total is the planner's estimate, and pages are found by a cursor.
 */
export const MAX_OFFSET = 10_000;
const REACH = `the newest ${String(MAX_OFFSET)} rows`;

/*
 * One order in two spellings: `created_at` is never null, but the planner does not treat the two as
 * equal. If one filter has its own index, and another index also contains its rows, each index has
 * a different order, so that the planner cannot scan millions of other rows because it estimates
 * that most of them match.
 */
export const NEWEST = sql`created_at DESC, id DESC`;
export const NEWEST_NULLS_LAST = sql`created_at DESC NULLS LAST, id DESC`;

/** A table with `created_at` and `id`, and the requested rows of it. */
export interface List {
  /** A select list, whose columns are those of `table`. */
  readonly columns: Sql;
  readonly table: string;
  /** A condition. */
  readonly filter: Sql;
  /**
   * Conditions of which each requested row meets exactly one: an index returns the rows of each in
   * order, and these lists are merged.
   */
  readonly parts?: readonly Sql[];
  /** `NEWEST` or `NEWEST_NULLS_LAST`. */
  readonly order: Sql;
}

/**
 * One window of a list, newest rows first. The order is total, since ids are unique. It takes some
 * milliseconds however long the list is.
 *
 * @throws InvalidPageWindowError, or PageOutOfReachError when more rows precede the window than a
 *   page number may skip
 */
export async function findNewest<Row extends ObjectLiteral>(
  database: DataSource,
  list: List,
  window: PageWindow,
): Promise<Page<Row>> {
  checkPageWindow(window);
  const { limit, offset, after } = window;
  if (offset > MAX_OFFSET && (await count(database, list)) > MAX_OFFSET) throw new PageOutOfReachError(REACH);

  const { columns, order } = list;
  const start = after ? startAfter(after) : undefined;
  const found = await query<Row>(
    database,
    sql`SELECT ${columns}
  FROM ${newest(list, sql`*`, sql`${limit + 1}::bigint + ${offset}::bigint`, start)}
 ORDER BY ${order}
 LIMIT ${limit + 1} OFFSET ${offset}`,
  );
  const rows = found.slice(0, limit);
  const more = found.length > limit; // one row more than the window was read
  const isLast = !more && !after && (rows.length > 0 || offset === 0);
  if (isLast) return { rows, more, total: offset + rows.length, totalIsEstimate: false };
  const seen = rows.length > 0 && !after ? offset + found.length : 0; // an estimate may be lower
  const counted = await count(database, list);
  if (counted <= MAX_OFFSET) return { rows, more, total: Math.max(seen, counted), totalIsEstimate: false };
  const { rows: estimated } = await planOf(database, list);
  return { rows, more, total: Math.max(seen, counted, estimated), totalIsEstimate: true };
}

/** The condition with which a list continues after a cursor. */
export const startAfter = ({ createdAt, id }: Cursor): Sql => sql` AND (created_at, id) < (${createdAt}, ${id})`;

/** The condition of each list that is merged. */
const filtersOf = ({ filter, parts }: List): Sql[] => parts?.map((part) => sql`${filter} AND ${part}`) ?? [filter];

/**
 * The newest rows of each list that is merged. Each has its own order and limit, so PostgreSQL
 * reads only the rows that are used.
 */
export function newest(list: List, columns: Sql, limit: Sql, start?: Sql): Sql {
  const table = raw(list.table);
  const lists = filtersOf(list).map(
    (filter) =>
      sql`(SELECT ${columns} FROM ${table} WHERE ${start ? sql`${filter}${start}` : filter} ORDER BY ${list.order} LIMIT ${limit})`,
  );
  return sql`(${join(lists, '\n        UNION ALL ')}) AS ${table}`; // the table name that the columns are qualified with
}

/** The planner's choice for reading all rows that match. */
export interface Plan {
  /** The estimated number of rows. */
  readonly rows: number;
  readonly cost: number;
  /** The estimated number of rows that a bitmap index scan finds; undefined without such a scan. */
  readonly bitmapRows: number | undefined;
}

interface PlanNode {
  readonly 'Plan Rows': number;
  readonly 'Total Cost': number;
  readonly 'Node Type': string;
  readonly 'Parent Relationship'?: string;
  readonly Plans?: readonly PlanNode[];
}

interface Explained {
  readonly 'QUERY PLAN': readonly [{ readonly Plan: PlanNode }];
}

export async function planOf(database: DataSource, list: Pick<List, 'table' | 'filter' | 'parts'>): Promise<Plan> {
  const [row] = await query<Explained>(
    database,
    sql`EXPLAIN (FORMAT JSON) SELECT FROM ${raw(list.table)} WHERE ${wholeFilter(list)}`,
  );
  const plan = firstOf(row?.['QUERY PLAN'] ?? []).Plan;
  const bitmap = plan['Node Type'] === 'Bitmap Heap Scan' ? plan.Plans?.find(isOuter) : undefined;
  return { rows: plan['Plan Rows'], cost: plan['Total Cost'], bitmapRows: bitmap?.['Plan Rows'] };
}

const isOuter = (node: PlanNode): boolean => node['Parent Relationship'] === 'Outer';

/** The condition of all rows of a list. */
export function wholeFilter({ filter, parts = [] }: Pick<List, 'filter' | 'parts'>): Sql {
  const [first, ...others] = parts;
  // The estimates of the parts do not add up to that of the whole list.
  return first && others.length === 0 ? sql`${filter} AND ${first}` : filter;
}

/** The number of rows, at most one more than `MAX_OFFSET`. */
async function count(database: DataSource, list: List): Promise<number> {
  const limit = raw(String(MAX_OFFSET + 1));
  // Without the order the planner expects to find enough rows early, and may read the whole table
  // for a few rows.
  const [row] = await query<{ rows: number }>(
    database,
    sql`SELECT count(*)::int AS rows FROM (SELECT FROM ${newest(list, sql`id`, limit)} LIMIT ${limit}) AS found`,
  );
  return row?.rows ?? 0;
}
