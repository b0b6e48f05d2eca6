import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsDate, isRFC3339, type ValidationOptions } from 'class-validator';
import type { DomainError } from '../errors/domain.error.js';
import { isDate, isInstant } from './date.js';
import { InvalidRequestError } from './request-validation.js';

/**
 * The field is an instant in RFC 3339, and becomes a `Date`. Both checks are needed: `isRFC3339`
 * accepts only complete instants with an offset, and `isDate` only days of the calendar.
 */
export const IsInstant = (options: ValidationOptions = {}): PropertyDecorator =>
  applyDecorators(
    Transform(({ value }: { value: unknown }) => parseInstant(value) ?? value),
    IsDate({ message: refusal('$property'), ...options }),
  );

const refusal = (property: string): string =>
  `${property} must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z`;

/** The failure of a property that is not an instant, as an example in the document. */
export const invalidInstant = (property: string): DomainError => new InvalidRequestError(refusal(property));

/** Characters. RFC 3339 has no limit for the digits of a fraction; nanoseconds take 35 in all. */
export const MAX_INSTANT_LENGTH = 64;

/** The schema of an instant of a request in the document. */
export const INSTANT_SCHEMA = { type: String, format: 'date-time', maxLength: MAX_INSTANT_LENGTH };

/** @returns null for a value that is not an instant in RFC 3339 */
export function parseInstant(value: unknown): Date | null {
  if (typeof value !== 'string' || value.length > MAX_INSTANT_LENGTH) return null;
  const text = value.toUpperCase(); // RFC 3339 allows `t` and `z` in lower case
  if (!isRFC3339(text) || !isDate(text.slice(0, 10))) return null;
  const date = new Date(text);
  return isInstant(date) ? date : null; // an offset may move it out of the range of RFC 3339
}
