/** What a response tells about a failure. */
export interface Failure {
  readonly status: number;
  readonly message: string;
  /** The `X-Request-Id` of the response, which the log of the server has; null without one. */
  readonly requestId: string | null;
  /** Seconds after which to repeat the request, by `Retry-After`; null without it. */
  readonly retryAfter: number | null;
}

/** A response that is not a success. Each status of the API has a class of its own. */
export class UsersApiError extends Error {
  override readonly name: string = 'UsersApiError';
  /** The HTTP status. */
  readonly status: number;
  /** The `X-Request-Id` of the response, which the log of the server has; null without one. */
  readonly requestId: string | null;

  constructor({ status, message, requestId }: Failure) {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

/** 304: the resource still has the `ETag` that `If-None-Match` names. */
export class NotModifiedError extends UsersApiError {
  override readonly name = 'NotModifiedError';
  declare readonly status: 304;
}

/** 400: the request, its body or its query is not valid. */
export class BadRequestError extends UsersApiError {
  override readonly name = 'BadRequestError';
  declare readonly status: 400;
}

/** 401: the API key is missing or does not work. */
export class UnauthorizedError extends UsersApiError {
  override readonly name = 'UnauthorizedError';
  declare readonly status: 401;
}

/** 402: the balance is lower than the amount. */
export class PaymentRequiredError extends UsersApiError {
  override readonly name = 'PaymentRequiredError';
  declare readonly status: 402;
}

/** 403: the key may not do this. */
export class ForbiddenError extends UsersApiError {
  override readonly name = 'ForbiddenError';
  declare readonly status: 403;
}

/** 404: the resource or the path does not exist. */
export class NotFoundError extends UsersApiError {
  override readonly name = 'NotFoundError';
  declare readonly status: 404;
}

/** 405: the path exists, but not with this method. */
export class MethodNotAllowedError extends UsersApiError {
  override readonly name = 'MethodNotAllowedError';
  declare readonly status: 405;
}

/** 408: the request did not arrive in time. */
export class RequestTimeoutError extends UsersApiError {
  override readonly name = 'RequestTimeoutError';
  declare readonly status: 408;
}

/** 409: the state of the resource does not allow it, or a name is taken. */
export class ConflictError extends UsersApiError {
  override readonly name = 'ConflictError';
  declare readonly status: 409;
}

/** 412: the condition of `If-Match` or `If-None-Match` is not met. */
export class PreconditionFailedError extends UsersApiError {
  override readonly name = 'PreconditionFailedError';
  declare readonly status: 412;
}

/** 413: the body is too large. */
export class PayloadTooLargeError extends UsersApiError {
  override readonly name = 'PayloadTooLargeError';
  declare readonly status: 413;
}

/** 415: the body is not JSON. */
export class UnsupportedMediaTypeError extends UsersApiError {
  override readonly name = 'UnsupportedMediaTypeError';
  declare readonly status: 415;
}

/** 429: too many requests. Nothing has been done. */
export class TooManyRequestsError extends UsersApiError {
  override readonly name = 'TooManyRequestsError';
  declare readonly status: 429;
  /** Seconds after which to repeat the request; null without a `Retry-After`. */
  readonly retryAfter: number | null;

  constructor(failure: Failure) {
    super(failure);
    this.retryAfter = failure.retryAfter;
  }
}

/** 431: the headers are too large. */
export class HeadersTooLargeError extends UsersApiError {
  override readonly name = 'HeadersTooLargeError';
  declare readonly status: 431;
}

/** 500: a bug of the server, which logs it with the `requestId`. */
export class InternalServerError extends UsersApiError {
  override readonly name = 'InternalServerError';
  declare readonly status: 500;
}

/** 503: the server cannot serve now. The request may have been carried out or not. */
export class ServiceUnavailableError extends UsersApiError {
  override readonly name = 'ServiceUnavailableError';
  declare readonly status: 503;
  /** Seconds after which to repeat the request; null without a `Retry-After`. */
  readonly retryAfter: number | null;

  constructor(failure: Failure) {
    super(failure);
    this.retryAfter = failure.retryAfter;
  }
}

const CLASSES: Readonly<Record<number, new (failure: Failure) => UsersApiError>> = {
  304: NotModifiedError,
  400: BadRequestError,
  401: UnauthorizedError,
  402: PaymentRequiredError,
  403: ForbiddenError,
  404: NotFoundError,
  405: MethodNotAllowedError,
  408: RequestTimeoutError,
  409: ConflictError,
  412: PreconditionFailedError,
  413: PayloadTooLargeError,
  415: UnsupportedMediaTypeError,
  429: TooManyRequestsError,
  431: HeadersTooLargeError,
  500: InternalServerError,
  503: ServiceUnavailableError,
};

/**
 * The error of a response that is not a success.
 *
 * @param body its JSON, or its text: a proxy may respond with a page of its own
 */
export function errorOf({ status, headers }: Response, body: unknown): UsersApiError {
  const { message } = Object(body) as { message?: unknown };
  const waitMs = retryAfterMs(headers);
  const ErrorClass = CLASSES[status] ?? UsersApiError;
  return new ErrorClass({
    status,
    message: typeof message === 'string' ? message : `The response has status ${String(status)}`,
    requestId: headers.get('x-request-id'),
    retryAfter: waitMs === null ? null : Math.ceil(waitMs / 1000),
  });
}

/**
 * @returns milliseconds, or null without a valid `Retry-After` (RFC 9110, section 10.2.3: seconds,
 *   or a date)
 */
export function retryAfterMs(headers: Headers): number | null {
  const text = headers.get('retry-after')?.trim();
  if (!text) return null;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const until = Date.parse(text);
  return Number.isNaN(until) ? null : Math.max(0, until - Date.now());
}
