import { DomainError } from '../errors/domain.error.js';
import { isPlace, type Place, placeOf } from './cursor.js';
import type { PageRequest } from './page.request.js';

/** The window of a list to read: the rows after a cursor, or those after a number of rows. */
export interface Slice {
  readonly limit: number;
  readonly offset: number;
  readonly after: Place | null;
}

/** One window of a list, in order, with the number of rows in the whole list. */
export interface Page<T> {
  readonly rows: readonly T[];
  /** Whether more rows follow. */
  readonly more: boolean;
  /** Exact up to 10,000; the planner's estimate for longer lists. */
  readonly total: number;
}

export const sliceOf = ({ page, items_per_page: limit, after }: PageRequest): Slice => ({
  limit,
  offset: after === undefined ? (page - 1) * limit : 0,
  after: after === undefined ? null : placeOf(after),
});

export class InvalidSliceError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('A slice must have a limit from 1, an offset from 0, both integers, and the place of a row or null as after');
  }
}

/** @throws InvalidSliceError */
export function checkSlice({ limit, offset, after }: Slice): void {
  const isSlice =
    Number.isSafeInteger(limit) &&
    limit >= 1 &&
    Number.isSafeInteger(offset) &&
    offset >= 0 &&
    (after === null || isPlace(after));
  if (!isSlice) throw new InvalidSliceError();
}

/** The page number would skip more rows than the server is willing to read. */
export class PageOutOfReachError extends DomainError {
  readonly kind = 'invalid';

  constructor(reach: number) {
    super(`page reaches the newest ${String(reach)} rows; follow the Link header to read on`);
  }
}
