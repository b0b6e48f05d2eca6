import { DomainError } from '../errors/domain.error.js';
import { isDate } from './date.js';

/** Days in UTC, as `YYYY-MM-DD`, both included; undefined does not restrict. */
export interface Period {
  readonly startDate?: string | undefined;
  readonly endDate?: string | undefined;
}

export class InvalidPeriodError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('start_date must be a date, such as 2026-01-31, and end_date must be one that is not before it');
  }
}

/** @throws InvalidPeriodError */
export function checkPeriod({ startDate, endDate }: Period): void {
  if (startDate !== undefined && !isDate(startDate)) throw new InvalidPeriodError();
  if (endDate !== undefined && !(isDate(endDate) && endDate >= (startDate ?? endDate))) throw new InvalidPeriodError();
}

/** The schema of a date of a request in the document. */
export const DATE_SCHEMA = {
  format: 'date',
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$',
  maxLength: 10,
  example: '2026-01-31',
};
