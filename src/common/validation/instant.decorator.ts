import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsDate, isISO8601, isRFC3339, type ValidationOptions } from 'class-validator';

/**
 * The field is an instant in RFC 3339, and arrives as a `Date`. Both rules are needed: the one takes only whole instants
 * with an offset, the other only days that are in the calendar.
 */
export const IsInstant = (options: ValidationOptions = {}): PropertyDecorator =>
  applyDecorators(
    Transform(({ value }: { value: unknown }) =>
      isRFC3339(value) && isISO8601(value, { strict: true }) ? new Date(value as string) : value,
    ),
    IsDate({ message: '$property must be an instant in RFC 3339, such as 2030-01-01T00:00:00Z', ...options }),
  );
