import { STATUS_CODES } from 'node:http';
import { HttpException } from '@nestjs/common';
import { redactKeys } from '../api-key-format.js';
import { DomainError, STATUS_OF, type ErrorKind } from './domain.error.js';
import type { ErrorResponse } from './error.response.js';
import { isDatabaseUnavailable } from './database-unavailable.js';

export interface ErrorReply {
  readonly body: ErrorResponse;
  readonly headers: Readonly<Record<string, string>>;
}

/** Seconds until a retry: a restart of the database usually takes about that long. */
const RETRY_AFTER = '1';

/** The headers that a kind of failure requires (RFC 9110, sections 11.6.1 and 10.2.3). */
const HEADERS_OF: Partial<Record<ErrorKind, Readonly<Record<string, string>>>> = {
  unauthenticated: { 'WWW-Authenticate': 'ApiKey realm="users-api", header="x-api-key"' },
  unsupported_media_type: { 'Accept-Patch': 'application/json, application/merge-patch+json' },
  unavailable: { 'Retry-After': RETRY_AFTER },
};

/**
 * Returns the error response for the caller. Pure, so every branch is tested without a server.
 *
 * Only the message of a `DomainError` is sent: those of libraries contain URLs, bodies and SQL.
 */
export function toErrorReply(error: unknown): ErrorReply {
  if (error instanceof DomainError) {
    const own = 'headers' in error ? (error.headers as Record<string, string>) : {};
    return reply(STATUS_OF[error.kind], error.message, { ...HEADERS_OF[error.kind], ...own });
  }
  if (isDatabaseUnavailable(error)) {
    return reply(STATUS_OF.unavailable, 'The service is temporarily unavailable', HEADERS_OF.unavailable);
  }
  const status = clientStatusOf(error);
  return status ? reply(status, STATUS_CODES[status] ?? 'Error') : reply(STATUS_OF.internal, 'Internal server error');
}

/**
 * Express gives its own errors (for example a URL that cannot be decoded) a status; Nest wraps them
 * in `HttpException`.
 */
function clientStatusOf(error: unknown): number | undefined {
  const status: unknown =
    error instanceof HttpException ? error.getStatus() : (error as { status?: unknown } | null)?.status;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

function reply(status: number, message: string, headers: Readonly<Record<string, string>> = {}): ErrorReply {
  // Some error statuses are cacheable by default (RFC 9110, section 15.1); none of these responses
  // may be reused.
  return { body: { status, message: redactKeys(message) }, headers: { 'Cache-Control': 'no-store', ...headers } };
}
