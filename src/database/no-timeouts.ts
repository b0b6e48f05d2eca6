const without = (...timeouts: readonly string[]): string =>
  `SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN (${timeouts.map((name) => `'${name}'`).join(', ')})`;

/**
 * Turns off, for one transaction, the timeouts of work that takes long, which the server, the
 * database, the role or a pooler may set. PostgreSQL has `transaction_timeout` from 17 on.
 */
export const NO_TIMEOUTS = without('statement_timeout', 'transaction_timeout');

/** The same for a transaction that may also be idle for long. */
export const NO_TIMEOUTS_OR_IDLE_TIMEOUT = without(
  'statement_timeout',
  'transaction_timeout',
  'idle_in_transaction_session_timeout',
);
