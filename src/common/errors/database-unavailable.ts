import { DomainError } from './domain.error.js';

/** Why the database fails requests: the label of the metric, and a clause for the log. */
export const DATABASE_FAILURES = {
  full: 'the disk of the database is full',
  read_only: 'the database takes no writes',
  out_of_connections: 'the database has no connection left',
  out_of_resources: 'the database has no memory left, or is over another limit of its own',
  unreachable: 'the database cannot be reached',
  unreadable: 'the database sends what the driver cannot read',
  not_serving: 'the database is starting, is stopping, or takes no connections',
  refused_credentials: 'the database refuses our user or password',
  not_allowed: 'the role in the database lacks rights that the application needs',
  internal_error: 'the database, or a pooler before it, reports an internal error',
  missing: 'the database does not exist',
  system_error: 'the operating system of the database fails it',
  timeout: 'the database is too slow',
  lock_timeout: 'a lock in the database is held for too long',
  conflict: 'transactions in the database conflict again and again',
  busy: 'more work waits for the database than it can take',
} as const;

export type DatabaseFailure = keyof typeof DATABASE_FAILURES;

/**
 * Codes that mean "not now": SQLSTATEs (Appendix A of PostgreSQL's manual), their classes of two
 * characters, which apply if the code itself is not listed, and error codes of the operating
 * system.
 */
const CODES: ReadonlyMap<string, DatabaseFailure> = new Map([
  ['08', 'unreachable'], // connection_exception
  ['25006', 'read_only'], // read_only_sql_transaction: a standby that is not promoted yet, for example
  ['25P03', 'timeout'], // idle_in_transaction_session_timeout: the server has ended the connection
  ['25P04', 'timeout'], // transaction_timeout
  ['28', 'refused_credentials'], // invalid_authorization_specification
  ['3D', 'missing'], // invalid_catalog_name
  ['42501', 'not_allowed'], // insufficient_privilege: revoked from the role while the application runs
  ['40001', 'conflict'], // serialization_failure
  ['40P01', 'conflict'], // deadlock_detected
  ['53', 'out_of_resources'], // insufficient_resources
  ['53100', 'full'], // disk_full
  ['53300', 'out_of_connections'], // too_many_connections
  ['55000', 'not_serving'], // object_not_in_prerequisite_state: the database takes no connections
  ['55P03', 'lock_timeout'], // lock_not_available
  ['57014', 'timeout'], // query_canceled: the statement timeout
  ['57P01', 'not_serving'], // admin_shutdown
  ['57P02', 'not_serving'], // crash_shutdown
  ['57P03', 'not_serving'], // cannot_connect_now
  ['57P04', 'missing'], // database_dropped
  ['57P05', 'unreachable'], // idle_session_timeout
  ['58', 'system_error'], // system_error: an I/O error, for example
  ['XX000', 'internal_error'], // internal_error: poolers report a lost server with it
  ['ECONNREFUSED', 'unreachable'],
  ['ECONNRESET', 'unreachable'],
  ['EPIPE', 'unreachable'],
  ['ETIMEDOUT', 'unreachable'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['ENOTFOUND', 'unreachable'],
  ['EAI_AGAIN', 'unreachable'],
  ['ENOENT', 'unreachable'], // the socket file of a server that is down
]);

/** Severities with which PostgreSQL ends the connection, whatever the code of the error. */
const ENDING_SEVERITIES: readonly unknown[] = ['FATAL', 'PANIC'];

/** Errors of `pg`, its pool and TypeORM that can be identified only by their text. */
const MESSAGES: readonly (readonly [RegExp, DatabaseFailure])[] = [
  [/^The server does not support SSL connections$/, 'unreachable'],
  [/^timeout exceeded when trying to connect$/, 'busy'], // of a caller that waited for a connection of the pool
  [/^Connection terminated/, 'unreachable'],
  [/^Query read timeout$/, 'timeout'],
  [/^The database did not answer in time$/, 'timeout'], // `PoolClient`
  [/^Client has encountered a connection error/, 'unreachable'],
  [/^Client was closed and is not queryable$/, 'unreachable'],
  [/^Cannot use a pool after calling end on the pool$/, 'unreachable'],
  [/^received invalid response/, 'unreadable'],
  [/^Received unexpected \w+ message from backend/, 'unreadable'],
  // The connection was lost between two statements of a transaction: TypeORM has already released
  // its query runner.
  [/^Query runner already released/, 'unreachable'],
  [/^Database connection provided by a query runner was already released/, 'unreachable'],
];

interface DriverFailure {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly syscall?: unknown;
  readonly severity?: unknown;
  readonly driverError?: unknown;
}

/** An error that the application itself raises because of the database (503). */
export abstract class DatabaseFailureError extends DomainError {
  readonly kind = 'unavailable';
  abstract readonly failure: DatabaseFailure;
}

/** The database cannot be reached, or does not answer. */
export class DatabaseUnreachableError extends DatabaseFailureError {
  readonly failure: DatabaseFailure;

  /** @param failure by default derived from the cause */
  constructor(cause: unknown, failure: DatabaseFailure = databaseFailureOf(cause) ?? 'unreachable') {
    super('The service is temporarily unavailable');
    this.cause = cause;
    this.failure = failure;
  }
}

/** The driver cannot read a message of the database. The connection is closed. */
export class UnreadableDatabaseError extends DatabaseUnreachableError {
  constructor(cause: unknown) {
    super(cause, 'unreadable');
  }
}

/**
 * Why the database fails a request, or null for an error that is not the database's: a wrong
 * statement, for example.
 */
export function databaseFailureOf(error: unknown): DatabaseFailure | null {
  if (typeof error !== 'object' || error === null) return null;
  if (error instanceof DatabaseFailureError) return error.failure;
  if (error instanceof AggregateError) return firstFailure(error.errors); // one per address of the host
  const { code, message, syscall, severity, driverError } = error as DriverFailure;
  if (driverError !== undefined && driverError !== error) return databaseFailureOf(driverError);
  const byCode = typeof code === 'string' ? failureByCode(code, syscall) : undefined;
  if (byCode !== undefined) return byCode;
  if (ENDING_SEVERITIES.includes(severity)) return 'not_serving';
  return typeof message === 'string' ? failureByMessage(message) : null;
}

function failureByCode(code: string, syscall: unknown): DatabaseFailure | undefined {
  if (code === 'ENOENT' && syscall !== 'connect') return undefined; // a file of the application
  return CODES.get(code) ?? CODES.get(code.slice(0, 2));
}

const failureByMessage = (message: string): DatabaseFailure | null =>
  MESSAGES.find(([pattern]) => pattern.test(message))?.[1] ?? null;

const firstFailure = (errors: readonly unknown[]): DatabaseFailure | null =>
  errors.map(databaseFailureOf).find((failure) => failure !== null) ?? null;

/**
 * Whether an error means that the database cannot be reached, refuses work or is too slow, rather
 * than that a statement is wrong or the application accepts no more work.
 */
export const isDatabaseUnavailable = (error: unknown): boolean =>
  error instanceof DomainError ? error instanceof DatabaseUnreachableError : databaseFailureOf(error) !== null;
