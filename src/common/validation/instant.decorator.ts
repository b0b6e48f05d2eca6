import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsDate, isRFC3339, type ValidationOptions } from 'class-validator';
import { isDate, isInstant } from './date.js';

/**
 * The field is an instant in RFC 3339, and becomes a `Date`. Both rules are needed: the one takes
 * only whole instants with an offset, the other only days that are in the calendar.
 */
export const IsInstant = (options: ValidationOptions = {}): PropertyDecorator =>
  applyDecorators(
    Transform(({ value }: { value: unknown }) => parse(value) ?? value),
    IsDate({ message: '$property must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z', ...options }),
  );

function parse(value: unknown): Date | null {
  if (typeof value !== 'string') return null;
  const text = value.toUpperCase(); // a `t` and a `z` may be small
  if (!isRFC3339(text) || !isDate(text.slice(0, 10))) return null;
  const date = new Date(text);
  return isInstant(date) ? date : null; // an offset may move it out of the years that RFC 3339 can write
}
