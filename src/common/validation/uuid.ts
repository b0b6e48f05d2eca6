import { Matches } from 'class-validator';

const PATTERN = '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$';

/** A UUID of any version in PostgreSQL's output format, in upper or lower case. */
export const UUID = new RegExp(PATTERN);

/** The schema of a UUID in the document. */
export const UUID_SCHEMA = { format: 'uuid', pattern: PATTERN, maxLength: 36 };

/** The user of the examples in the document. */
export const EXAMPLE_USER_ID = '0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90';

/**
 * Check before a query: text that is not a UUID identifies nothing, and the database would raise an
 * error.
 */
export const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value);

/** The field is a UUID. */
export const IsId = (): PropertyDecorator => Matches(UUID, { message: '$property must be a UUID' });
