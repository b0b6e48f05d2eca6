import { DomainError } from '../errors/domain.error.js';
import { isCursor, type Cursor, parseCursor } from './cursor.js';
import type { PageRequest } from './page.request.js';

/** The window of a list to read: the rows after a cursor, or the rows after an offset. */
export interface PageWindow {
  readonly limit: number;
  readonly offset: number;
  readonly after: Cursor | null;
}

/** One window of a list, in order, with the number of rows in the whole list. */
export interface Page<T> {
  readonly rows: readonly T[];
  /** Whether more rows follow. */
  readonly more: boolean;
  /** Exact up to 10,000; the planner's estimate for longer lists. */
  readonly total: number;
  readonly totalIsEstimate: boolean;
  /**
   * The cursor at which to continue, if more rows follow and it is not the last row: a search that
   * reads many rows may end before it has found enough.
   */
  readonly resumeAfter?: Cursor;
}

export const pageWindowOf = ({ page, items_per_page: limit, after }: PageRequest): PageWindow => ({
  limit,
  offset: after === undefined ? (page - 1) * limit : 0,
  after: after === undefined ? null : parseCursor(after),
});

export class InvalidPageWindowError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('A page window must have a limit from 1, an offset from 0, both integers, and a cursor or null as after');
  }
}

/** @throws InvalidPageWindowError */
export function checkPageWindow({ limit, offset, after }: PageWindow): void {
  const isSlice =
    Number.isSafeInteger(limit) &&
    limit >= 1 &&
    Number.isSafeInteger(offset) &&
    offset >= 0 &&
    (after === null || isCursor(after));
  if (!isSlice) throw new InvalidPageWindowError();
}

/** The page number would skip more rows than the server reads. */
export class PageOutOfReachError extends DomainError {
  readonly kind = 'invalid';

  /** @param reach the reachable rows, in words */
  constructor(reach: string) {
    super(`page reaches ${reach}; follow the Link header to read on`);
  }
}
