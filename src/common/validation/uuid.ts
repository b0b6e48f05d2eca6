/** As PostgreSQL writes it, in any case, whatever its version. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** What is no UUID is the id of nothing, and the database would fail on it. */
export const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value);
