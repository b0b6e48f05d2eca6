import pg from 'pg';
import { OperatorError } from '../common/errors/operator.error.js';
import { DatabaseUnreachableError, isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { NOT_ALLOWED } from './privileges.js';
import { speaksAnotherProtocol } from './speaks-another-protocol.js';

/** SQLSTATE classes of refused credentials, and of a database that does not exist. */
const REFUSED = /^(28|3D)/;

/**
 * Messages of a pooler in transaction mode: about a setting of the session, and about an unknown
 * user or database.
 */
const REFUSES_SETTINGS = 'unsupported startup parameter';
const UNKNOWN_TO_POOLER = /^no such (user|database)/;

/** The driver's message for a method of authentication that it lacks: GSS, Kerberos or SSPI. */
const UNKNOWN_METHOD = 'Unknown authenticationOk message type';

const NO_TLS = 'The server does not support SSL connections';

/**
 * The database of `DATABASE_URL` cannot be used. The message contains its address and the reason,
 * but no part of the password.
 */
export class UnusableDatabaseError extends OperatorError {
  constructor(url: string, reason: string, cause?: unknown) {
    super(`The database ${placeOf(url)} cannot be used: ${reason}`, { cause });
  }
}

/** Whether waiting at startup may help, because the server does not accept connections yet. */
export const mayRecover = (error: unknown): boolean => {
  const { code, message } = failureOf(error);
  return (
    isDatabaseUnavailable(failureOf(error)) &&
    !REFUSED.test(code ?? '') &&
    code !== 'ENOTFOUND' &&
    code !== NOT_ALLOWED &&
    message !== NO_TLS &&
    !message.startsWith(REFUSES_SETTINGS) &&
    !UNKNOWN_TO_POOLER.test(message)
  );
};

/** Why the database cannot be used, for the operator. */
export function reasonOf(url: string, error: unknown): string {
  const { code, message } = failureOf(error);
  if (code === 'ENOTFOUND') return `the name of its host does not resolve (${code})`;
  if (message === NO_TLS) return 'the server has no TLS, which sslmode in the URL requires';
  if (message.startsWith(REFUSES_SETTINGS))
    return `a connection pooler in front of it accepts no session settings (${message}). Set DATABASE_TRANSACTION_POOLER=true, and see "Production" in the README`;
  if (message.startsWith(UNKNOWN_METHOD))
    return `it requires a method of authentication that the driver does not support (${message}): see pg_hba.conf`;
  if (message.includes('password must be a'))
    return 'it requires a password, and neither DATABASE_URL nor PGPASSWORD has one'; // the driver reports a "SASL" error
  if (/certificate/i.test(message))
    return `its certificate cannot be verified (${withoutAdvice(message)}). sslrootcert in the URL names the file with the certificate of its authority`;
  // An `AggregateError`, for a host with several addresses, has a code and no message.
  return (namesUser(url) ? message || code : (code ?? message)) ?? 'no reason given';
}

/**
 * The reason why waiting for the database does not help, or undefined if it may. A server that
 * closes the connection without a response may be a proxy whose database has not started yet.
 */
export async function lastingReason(url: string, error: unknown): Promise<string | undefined> {
  const saidByServer = failureOf(error) instanceof pg.DatabaseError;
  if (!saidByServer && (await speaksAnotherProtocol(url).catch(() => false)))
    return 'the server at that address is not PostgreSQL';
  return mayRecover(error) ? undefined : reasonOf(url, error);
}

interface Failure {
  readonly code?: string;
  readonly message: string;
}

/** The driver's error, which errors of this application and of TypeORM wrap. */
function failureOf(error: unknown): Failure {
  if (error instanceof DatabaseUnreachableError && error.cause !== undefined) return failureOf(error.cause);
  const { driverError } = error as { readonly driverError?: unknown };
  return driverError !== undefined && driverError !== error ? failureOf(driverError) : (error as Failure);
}

/**
 * `at host:port/database`. A URL without a user is not shown: `postgres://app:12` may be the rest
 * of a URL whose password has a "#", which some tools read as the start of a comment.
 */
function placeOf(url: string): string {
  const { host, pathname, searchParams } = new URL(url);
  return namesUser(url) ? `at ${searchParams.get('host') ?? host}${pathname}` : 'of DATABASE_URL';
}

const namesUser = (url: string): boolean => new URL(url).username !== '';

/** Without the advice about `--use-system-ca` that Node.js 26 adds: sslrootcert replaces it. */
const withoutAdvice = (message: string): string => message.replace(/; if the root CA .*/s, '');
