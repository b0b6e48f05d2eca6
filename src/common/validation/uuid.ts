import { Matches } from 'class-validator';

/** As PostgreSQL writes it, in upper or lower case, of any version. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Check before a query: text that is not a UUID identifies nothing, and the database would raise an
 * error.
 */
export const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value);

/** The field is a UUID. */
export const IsId = (): PropertyDecorator => Matches(UUID, { message: '$property must be a UUID' });
