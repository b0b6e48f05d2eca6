/**
 * The purpose of a movement, chosen by the API product: 1 to 32 capital letters, digits and
 * underscores, the first one a letter. The same rule as the constraint
 * `ck_credit_entries_transaction_type`.
 */
export const TRANSACTION_TYPE = '^[A-Z][A-Z0-9_]{0,31}$';
export const MAX_TRANSACTION_TYPE_LENGTH = 32;

/** The type of a movement if the caller gives none. */
export const DEFAULT_TRANSACTION_TYPE = 'MANUAL_ADJUSTMENT';

const PATTERN = new RegExp(TRANSACTION_TYPE);

/** Accepts any value, since JavaScript modules may call the service. */
export const isTransactionType = (value: unknown): value is string => typeof value === 'string' && PATTERN.test(value);
