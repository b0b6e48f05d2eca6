import { DomainError } from './domain.error.js';

/** PostgreSQL's error classes and codes that say "not now" (Appendix A of its manual). */
const SQLSTATES = new Set([
  '25P04', // transaction_timeout
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55000', // object_not_in_prerequisite_state: the database takes no connections
  '25006', // read_only_sql_transaction: a standby that is being promoted
  '55P03', // lock_not_available
  '57014', // query_canceled: the statement time-out
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now: starting up or shutting down
  '57P04', // database_dropped
  '57P05', // idle_session_timeout
]);
const SQLSTATE_CLASSES = ['08', '28', '3D', '53', '58']; // connection, credentials, no such database, resources, its system

const SYSTEM_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT', // the socket file of a server that is down
]);

/** `pg` and its pool tell these apart by text alone. */
const MESSAGES = [
  /^The server does not support SSL connections$/,
  /^timeout exceeded when trying to connect$/,
  /^Connection terminated/,
  /^Query read timeout$/,
  /^The database did not answer in time$/, // `PoolClient`
  /^Client has encountered a connection error/,
  /^Client was closed and is not queryable$/,
  /^Cannot use a pool after calling end on the pool$/,
];

interface DriverFailure {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly syscall?: unknown;
  readonly driverError?: unknown;
}

/** The database cannot be reached, or says nothing. */
export class DatabaseUnreachableError extends DomainError {
  readonly kind = 'unavailable';

  constructor(cause: unknown) {
    super('The service is temporarily unavailable');
    this.cause = cause;
  }
}

/** Whether an error says that the database cannot be reached, refuses or is too slow, rather than that we asked wrongly. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if (error instanceof DatabaseUnreachableError) return true;
  const { code, message, syscall, driverError } = error as DriverFailure;
  if (driverError !== undefined && driverError !== error) return isDatabaseUnavailable(driverError);
  if (error instanceof AggregateError) return error.errors.some(isDatabaseUnavailable); // one per address of the host
  if (typeof code === 'string') {
    if (SYSTEM_CODES.has(code)) return code !== 'ENOENT' || syscall === 'connect';
    if (SQLSTATES.has(code) || SQLSTATE_CLASSES.includes(code.slice(0, 2))) return true;
  }
  return typeof message === 'string' && MESSAGES.some((pattern) => pattern.test(message));
}
