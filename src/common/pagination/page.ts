import type { Request, Response } from 'express';
import { DomainError } from '../errors/domain.error.js';
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
  /** An estimate where that takes less time than to count them. */
  readonly total: number;
}

export const sliceOf = ({ page, items_per_page: limit, after }: PageRequest): Slice => ({
  limit,
  offset: after === undefined ? (page - 1) * limit : 0,
  after: after === undefined ? null : placeOf(after),
});

/** A page number that would have us walk over too many rows. */
export class PageOutOfReachError extends DomainError {
  readonly kind = 'invalid';

  constructor(reach: number) {
    super(`page reaches the newest ${String(reach)} rows; follow the Link header to read on`);
  }
}

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
