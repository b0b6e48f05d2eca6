import type { Request, Response } from 'express';
import { publicBaseOf } from '../http/public-url.js';
import { encodeCursor, type Cursor } from './cursor.js';
import { MAX_PAGE, type PageRequest } from './page.request.js';
import type { Page } from './page.js';

/**
 * Builds the response of one page, and sets `Link` (RFC 8288) to the next page while there is one,
 * and `Total-Pages-Estimated` where the number of pages is not exact.
 */
export function paginated<T extends Cursor, R>(
  { rows, more, total, totalIsEstimate, resumeAfter }: Page<T>,
  { page, items_per_page }: PageRequest,
  toResponse: (row: T) => R,
  request: Request,
): { data: R[]; pagination: { total_pages: number; current_page: number; items_per_page: number } } {
  const response = request.res as Response;
  const last = resumeAfter ?? rows.at(-1);
  if (last && more) {
    const next = nextUrl(request, Math.min(page + 1, MAX_PAGE), encodeCursor(last));
    response.setHeader('Link', `<${next}>; rel="next"`);
  }
  if (totalIsEstimate) response.setHeader('Total-Pages-Estimated', 'true');
  return {
    data: rows.map(toResponse),
    pagination: { total_pages: Math.ceil(total / items_per_page), current_page: page, items_per_page },
  };
}

/** The URL of the next page, with the other parameters unchanged. */
function nextUrl(request: Request, page: number, after: string): string {
  const url = new URL(request.originalUrl, 'http://relative');
  url.searchParams.set('page', String(page));
  url.searchParams.set('after', after);
  return publicBaseOf(request) + url.pathname + url.search;
}
