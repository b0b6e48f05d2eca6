import type { Request, Response } from 'express';
import { cursorOf, type Place, placeOf } from './cursor.js';
import { MAX_PAGE, type PageRequest } from './page.request.js';

/** Which rows of a list are wanted: the rows after a place, or else those after a number of rows. */
export interface Slice {
  readonly limit: number;
  readonly offset: number;
  readonly after: Place | null;
}

/** One slice of the rows, in order, and how many rows there are in all. */
export interface Page<T> {
  readonly rows: readonly T[];
  /** Whether others follow. */
  readonly more: boolean;
  readonly total: number;
}

export const sliceOf = ({ page, items_per_page: limit, after }: PageRequest): Slice => ({
  limit,
  offset: after === undefined ? (page - 1) * limit : 0,
  after: after === undefined ? null : placeOf(after),
});

/**
 * The end of a list's SQL, newest rows first, with its parameters: two rows never share a place, so the order is total. It asks
 * for one row more than the slice has, which `pageOf` takes off: it tells whether others follow.
 */
export function newestFirst(
  { limit, offset, after }: Slice,
  parameters: readonly unknown[],
): { sql: string; parameters: unknown[] } {
  const next = parameters.length + 1;
  const condition = after ? `AND (created_at, id) < ($${String(next + 2)}, $${String(next + 3)})` : '';
  return {
    sql: `${condition} ORDER BY created_at DESC, id DESC LIMIT $${String(next)} OFFSET $${String(next + 1)}`,
    parameters: [...parameters, limit + 1, offset, ...(after ? [after.createdAt, after.id] : [])],
  };
}

/** What the SQL of `newestFirst` found. */
export const pageOf = <T>(rows: readonly T[], { limit }: Slice, total: number): Page<T> => ({
  rows: rows.slice(0, limit),
  more: rows.length > limit,
  total,
});

/** Answers one page, and points to the next one by `Link` (RFC 8288) while there is one. */
export function paginated<T extends Place, R>(
  { rows, more, total }: Page<T>,
  { page, items_per_page }: PageRequest,
  toResponse: (row: T) => R,
  request: Request,
): { data: R[]; pagination: { total_pages: number; current_page: number; items_per_page: number } } {
  const last = rows.at(-1);
  if (last && more) {
    const next = nextUrl(request, Math.min(page + 1, MAX_PAGE), cursorOf(last));
    (request.res as Response).setHeader('Link', `<${next}>; rel="next"`);
  }
  return {
    data: rows.map(toResponse),
    pagination: { total_pages: Math.ceil(total / items_per_page), current_page: page, items_per_page },
  };
}

/** Relative to the server, with the other parameters as they came. */
function nextUrl(request: Request, page: number, after: string): string {
  const url = new URL(request.originalUrl, 'http://relative');
  url.searchParams.set('page', String(page));
  url.searchParams.set('after', after);
  return url.pathname + url.search;
}
