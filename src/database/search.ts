import sql, { empty, raw, type Sql } from 'sql-template-tag';
import type { DataSource, ObjectLiteral } from 'typeorm';
import type { Cursor } from '../common/pagination/cursor.js';
import { checkPageWindow, type Page, PageOutOfReachError, type PageWindow } from '../common/pagination/page.js';
import { type List, MAX_OFFSET, newest, type Plan, planOf, startAfter, wholeFilter } from './list.js';
import { query } from './query.js';
import { firstOf } from './statement.js';

/** A condition on a list for which none of its indexes returns the rows in order. */
export interface Search {
  readonly condition: Sql;
  /** A query of the ids of all rows that may meet the condition, which an index finds. */
  readonly candidates: Sql;
  /** The condition with which that index is searched. */
  readonly indexed: { readonly table: string; readonly filter: Sql };
}

/**
 * Maximum number of rows that one request collects and sorts: some tens of milliseconds of work.
 */
const MAX_COLLECTED = 10_000;
/** The planner's cost limit for collecting rows without a bitmap scan. */
const MAX_COST = 2_000;
/**
 * Numbers of rows that one request scans, in steps: most frequent words are found in the first
 * step.
 */
const STEPS = [1_000, 9_000, 40_000];
const REACH = `the newest ${String(STEPS.reduce((sum, step) => sum + step))} rows, through which a search looks at once`;

/**
 * One window of the rows of a list that a search finds, newest rows first. If its index, or the
 * other conditions, find few rows, these are collected, counted and sorted. If many match, the list
 * is scanned from its newest row on, at most 50,000 rows in one request: the page may then have
 * fewer rows than its limit, or none, and continues with `resumeAfter`.
 *
 * @param tableRows the estimated number of rows of the table
 * @throws InvalidPageWindowError, or PageOutOfReachError when the scanned rows do not include all
 *   rows that a page number skips
 */
export async function findMatching<Row extends ObjectLiteral>(
  database: DataSource,
  list: List,
  search: Search,
  tableRows: number,
  window: PageWindow,
): Promise<Page<Row>> {
  checkPageWindow(window);
  const { condition, candidates, indexed } = search;
  const byFilter = await planOf(database, list);
  if (isSmall(byFilter)) return collect(database, list, condition, window);
  const bySearch = await planOf(database, indexed);
  // An array, because it is evaluated first: otherwise the planner would join millions of rows to
  // find some thousands.
  if (isSmall(bySearch)) return collect(database, list, sql`id = ANY (ARRAY(${candidates})) AND ${condition}`, window);
  const share = Math.min(1, byFilter.rows / Math.max(1, tableRows));
  return lookThrough(database, list, condition, window, Math.round(bySearch.rows * share));
}

const isSmall = ({ rows, cost, bitmapRows }: Plan): boolean =>
  rows <= MAX_COLLECTED && (bitmapRows === undefined ? cost <= MAX_COST : bitmapRows <= MAX_COLLECTED);

/** Collects all rows that match, so the total is exact. */
async function collect<Row extends ObjectLiteral>(
  database: DataSource,
  list: List,
  condition: Sql,
  { limit, offset, after }: PageWindow,
): Promise<Page<Row>> {
  const { columns, order } = list;
  const table = raw(list.table);
  const found = await query<Row & { readonly id: string | null; readonly total: number }>(
    database,
    sql`WITH matching AS MATERIALIZED (SELECT * FROM ${table} WHERE ${wholeFilter(list)} AND ${condition})
SELECT counted.total, ${columns}
  FROM (SELECT count(*)::int AS total FROM matching) AS counted
  LEFT JOIN (SELECT * FROM matching WHERE true${after ? startAfter(after) : empty} ORDER BY ${order} LIMIT ${limit + 1} OFFSET ${offset})
    AS ${table} ON true
 ORDER BY ${order}`,
  );
  const rows = found.filter(({ id }) => id !== null);
  const { total } = firstOf(found);
  return { rows: rows.slice(0, limit), more: rows.length > limit, total, totalIsEstimate: false };
}

interface Scanned {
  /** The number of rows that were scanned. */
  readonly scanned: number;
  /** The position of the last scanned row. */
  readonly lastCreatedAt: Date | null;
  readonly lastId: string | null;
  readonly id: string | null;
}

async function lookThrough<Row extends ObjectLiteral>(
  database: DataSource,
  list: List,
  condition: Sql,
  { limit, offset, after }: PageWindow,
  estimate: number,
): Promise<Page<Row>> {
  if (offset > MAX_OFFSET) throw new PageOutOfReachError(REACH);
  const wanted = offset + limit + 1; // one row more than the window, to know whether more follow
  const found: Row[] = [];
  let position: Cursor | null = after;
  let ended = false;
  for (const step of STEPS) {
    const rows: (Row & Scanned)[] = await query(
      database,
      nextMatching(list, condition, step, wanted - found.length, position),
    );
    const { scanned, lastCreatedAt, lastId } = firstOf(rows);
    found.push(...rows.filter(({ id }) => id !== null));
    if (lastCreatedAt && lastId) position = { createdAt: lastCreatedAt, id: lastId };
    ended = scanned < step;
    if (ended || found.length >= wanted) break;
  }

  const isComplete = ended || found.length >= wanted;
  if (!isComplete && found.length < offset) throw new PageOutOfReachError(REACH);
  const rows = found.slice(offset, offset + limit);
  if (ended && found.length < wanted && !after)
    return { rows, more: false, total: found.length, totalIsEstimate: false };
  const total = Math.max(estimate, after ? 0 : found.length);
  const page = { rows, more: !ended || found.length >= wanted, total, totalIsEstimate: true };
  return isComplete || !position ? page : { ...page, resumeAfter: position };
}

/** At least one row, with the position of the last row that was scanned. */
function nextMatching(list: List, condition: Sql, step: number, wanted: number, after: Cursor | null): Sql {
  const { columns, order } = list;
  const table = raw(list.table);
  const limit = raw(String(step));
  return sql`WITH scanned AS MATERIALIZED (SELECT * FROM ${newest(list, sql`*`, limit, after ? startAfter(after) : undefined)}
   ORDER BY ${order}
   LIMIT ${limit})
SELECT counted.scanned, last.created_at AS "lastCreatedAt", last.id AS "lastId", ${columns}
  FROM (SELECT count(*)::int AS scanned FROM scanned) AS counted
  LEFT JOIN (SELECT created_at, id FROM scanned ORDER BY created_at, id LIMIT 1) AS last ON true
  LEFT JOIN (SELECT * FROM scanned WHERE ${condition} ORDER BY ${order} LIMIT ${wanted}) AS ${table} ON true
 ORDER BY ${table}.created_at DESC, ${table}.id DESC`;
}
