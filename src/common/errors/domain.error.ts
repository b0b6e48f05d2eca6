/**
 * The HTTP status of each kind of failure: the one table behind the error responses and the
 * document. A kind without a status does not compile.
 */
export const STATUS_OF = {
  invalid: 400,
  unauthenticated: 401,
  payment_required: 402,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  conflict: 409,
  precondition_failed: 412,
  too_large: 413,
  unsupported_media_type: 415,
  rate_limited: 429,
  headers_too_large: 431,
  internal: 500,
  unavailable: 503,
} as const;

export type ErrorKind = keyof typeof STATUS_OF;

/** Codes of GraphQL errors that are not the name of the kind. */
const CODES: Partial<Record<ErrorKind, string>> = { invalid: 'BAD_REQUEST', internal: 'INTERNAL_SERVER_ERROR' };

/** A named failure. Its message is written for the caller and contains nothing secret. */
export abstract class DomainError extends Error {
  abstract readonly kind: ErrorKind;

  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }

  /**
   * The fields that a GraphQL server copies into `extensions` of the error, with the codes of Nest.
   */
  get extensions(): { readonly code: string; readonly status: number } {
    return { code: CODES[this.kind] ?? this.kind.toUpperCase(), status: STATUS_OF[this.kind] };
  }
}
