import sql, { join, raw, type Sql } from 'sql-template-tag';
import type { DataSource, ObjectLiteral } from 'typeorm';
import { checkPageWindow, type Page, PageOutOfReachError, type PageWindow } from '../common/pagination/page.js';
import { query } from './query.js';

/**
 * Rows that are counted exactly, and that a page number may skip: some milliseconds of work. Beyond
 * them the total is the planner's estimate, and pages are found by a cursor.
 */
const MAX_OFFSET = 10_000;

/*
 * One order in two spellings: `created_at` is never null, but the planner does not treat the two as
 * equal. Where one filter has an index of its own, and another index contains its rows among
 * others, each index has its own order, so that the planner cannot scan millions of other rows
 * where it estimates that most of them match.
 */
export const NEWEST = sql`created_at DESC, id DESC`;
export const NEWEST_NULLS_LAST = sql`created_at DESC NULLS LAST, id DESC`;

/** A table with `created_at` and `id`, and the rows of it that are requested. */
export interface List {
  /** A select list, whose columns are those of `table`. */
  readonly columns: Sql;
  readonly table: string;
  /** A condition. */
  readonly filter: Sql;
  /**
   * Conditions of which each row that is requested meets just one: an index has the rows of each in
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
  if (offset > MAX_OFFSET && (await count(database, list)) > MAX_OFFSET) throw new PageOutOfReachError(MAX_OFFSET);

  const { columns, order } = list;
  const start = after ? sql` AND (created_at, id) < (${after.createdAt}, ${after.id})` : undefined;
  const found = await query<Row>(
    database,
    sql`SELECT ${columns}
  FROM ${newest(list, sql`*`, sql`${limit + 1}::bigint + ${offset}::bigint`, start)}
 ORDER BY ${order}
 LIMIT ${limit + 1} OFFSET ${offset}`,
  );
  const rows = found.slice(0, limit);
  const more = found.length > limit; // one row more than the window was requested
  const isLast = !more && !after && (rows.length > 0 || offset === 0);
  if (isLast) return { rows, more, total: offset + rows.length };
  const seen = rows.length > 0 && !after ? offset + found.length : 0; // an estimate may be lower
  return { rows, more, total: Math.max(seen, await total(database, list)) };
}

/** The condition of each list that is merged. */
const filtersOf = ({ filter, parts }: List): Sql[] => parts?.map((part) => sql`${filter} AND ${part}`) ?? [filter];

/**
 * The newest rows of each list that is merged. Each has an order and a limit of its own, so
 * PostgreSQL reads no more of any than is used.
 */
function newest(list: List, columns: Sql, limit: Sql, start?: Sql): Sql {
  const table = raw(list.table);
  const lists = filtersOf(list).map(
    (filter) =>
      sql`(SELECT ${columns} FROM ${table} WHERE ${start ? sql`${filter}${start}` : filter} ORDER BY ${list.order} LIMIT ${limit})`,
  );
  return sql`(${join(lists, '\n        UNION ALL ')}) AS ${table}`; // the name that the columns have
}

interface Explained {
  readonly 'QUERY PLAN': readonly [{ readonly Plan: { readonly 'Plan Rows': number } }];
}

async function total(database: DataSource, list: List): Promise<number> {
  const counted = await count(database, list);
  if (counted <= MAX_OFFSET) return counted;
  // The estimates of all values do not add up to that of the table.
  const [only] = list.parts?.length === 1 ? filtersOf(list) : [list.filter];
  const [row] = await query<Explained>(
    database,
    sql`EXPLAIN (FORMAT JSON) SELECT FROM ${raw(list.table)} WHERE ${only}`,
  );
  return Math.max(counted, row?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0);
}

/** The number of rows, at most one more than `MAX_OFFSET`. */
async function count(database: DataSource, list: List): Promise<number> {
  const limit = raw(String(MAX_OFFSET + 1));
  // Without the order the planner expects to find enough rows soon, and reads the whole table for a
  // few.
  const [row] = await query<{ rows: number }>(
    database,
    sql`SELECT count(*)::int AS rows FROM (SELECT FROM ${newest(list, sql`id`, limit)} LIMIT ${limit}) AS found`,
  );
  return row?.rows ?? 0;
}
