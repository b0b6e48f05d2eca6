import type { CanActivate, ExecutionContext, RawBodyRequest, Type } from '@nestjs/common';
import * as contentType from 'content-type';
import type { Request, Response } from 'express';
import getRawBody from 'raw-body';
import { DomainError } from '../errors/domain.error.js';
import { validBody } from '../validation/request-validation.js';
import { AmbiguousRequestError } from './ambiguous-requests.js';
import { awaitsContinue } from './expectations.js';
import { parseJsonObject, TooDeepError } from './json-object.js';

/** Bytes. The largest valid body of any route is much smaller. */
export const BODY_LIMIT = 16 * 1024;

/** RFC 7396: equivalent to JSON for flat bodies in which null is always refused. */
export const MERGE_PATCH = 'application/merge-patch+json';
/** Accepted with every method; the document lists the second for PATCH only. */
export const MEDIA_TYPES = ['application/json', MERGE_PATCH];

export class UnsupportedMediaTypeError extends DomainError {
  readonly kind = 'unsupported_media_type';
}

export class OtherMediaTypeError extends UnsupportedMediaTypeError {
  constructor() {
    super(`The body must be ${MEDIA_TYPES.join(' or ')}`);
  }
}

export class BodyTooLargeError extends DomainError {
  readonly kind = 'too_large';

  constructor() {
    super(`The body must be at most ${String(BODY_LIMIT)} bytes long`);
  }
}

export class UnreadableBodyError extends DomainError {
  readonly kind = 'invalid';
}

/**
 * Admits requests whose body is one JSON object that is a valid instance of a request class, and
 * stores it in `request.body`.
 *
 * A guard rather than a body parser, because Express parses before any guard runs. This guard runs
 * after the one that checks the key, so a caller without a key receives no information about its
 * body, which is not kept in memory.
 */
export class JsonBodyGuard implements CanActivate {
  constructor(private readonly type: Type) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    refuseUnfitBodies(request);
    if (awaitsContinue(request)) http.getResponse<Response>().writeContinue();
    const body = await readBody(request);
    // Some proxies merge trailers into the header, where they could add a second key.
    if (request.rawTrailers.length > 0) throw new AmbiguousRequestError('A body must not have trailers');
    request.body = await validBody(parseJsonObject(body), this.type);
    return true;
  }
}

/** Checks the header fields before any of the body is read, or even sent. */
function refuseUnfitBodies(request: Request): void {
  const { 'content-type': type } = request.headers;
  if (!(isEmpty(request) && type === undefined)) refuseOtherMediaTypes(request);
  if (Number(request.headers['content-length'] ?? 0) > BODY_LIMIT) throw new BodyTooLargeError();
}

const isEmpty = ({ headers }: Request): boolean =>
  headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;

async function readBody(request: RawBodyRequest<Request>): Promise<Buffer> {
  if (isEmpty(request)) return Buffer.alloc(0);
  if (request.body !== undefined) return bodyThatWasRead(request);
  try {
    return await getRawBody(request, { limit: BODY_LIMIT, length: request.headers['content-length'] ?? null });
  } catch (error) {
    const { type: reason } = error as { type?: unknown };
    if (reason === 'entity.too.large') {
      request.resume(); // the rest of the body would precede the next request of the connection
      throw new BodyTooLargeError();
    }
    if (reason === 'request.aborted' || reason === 'request.size.invalid' || reason === 'stream.not.readable') {
      throw new UnreadableBodyError('The body ended before its announced length');
    }
    throw error;
  }
}

/**
 * Returns the bytes of a body that the application has parsed before any guard. They are kept if it
 * was created with Nest's `rawBody: true`; without them, duplicate properties cannot be detected.
 */
function bodyThatWasRead({ rawBody, body }: RawBodyRequest<Request>): Buffer {
  const bytes = rawBody ?? written(body);
  if (bytes.length > BODY_LIMIT) throw new BodyTooLargeError();
  return bytes;
}

function written(body: unknown): Buffer {
  try {
    return Buffer.from(JSON.stringify(body));
  } catch (error) {
    throw error instanceof RangeError ? new TooDeepError() : error; // nesting that exceeds the stack
  }
}

function refuseOtherMediaTypes(request: Request): void {
  const { 'content-type': type = '', 'content-encoding': encoding = 'identity' } = request.headers;
  const { type: mediaType, parameters } = contentType.parse(type);
  if (!MEDIA_TYPES.includes(mediaType)) throw new OtherMediaTypeError();
  if (!/^utf-?8$/i.test(parameters.charset ?? 'utf-8'))
    throw new UnsupportedMediaTypeError('The body must be in UTF-8');
  if (encoding.toLowerCase() !== 'identity') {
    throw new UnsupportedMediaTypeError('The body must not be compressed');
  }
}
