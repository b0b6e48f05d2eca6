import { applyDecorators } from '@nestjs/common';
import { ApiHeader, ApiResponse } from '@nestjs/swagger';
import { type ErrorKind, STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';

/** Header fields with their descriptions. */
export type Headers = Readonly<Record<string, string>>;

/**
 * The conditional headers of a request, and the status of the response where the condition ends the
 * request.
 */
export interface Condition {
  readonly headers: Headers;
  readonly status: 304 | 412;
}

/** For requests that read. */
export const IF_NONE_MATCH: Condition = {
  headers: { 'If-None-Match': 'The ETag of an earlier answer: if it still holds, the answer is 304 and empty' },
  status: 304,
};

/** For requests that change something. */
export const IF_MATCH: Condition = {
  headers: {
    'If-Match': 'The ETag of an earlier answer: if it no longer holds, the answer is 412 and nothing is written',
    'If-None-Match': 'An ETag, or `*` for any: if it holds, the answer is 412 and nothing is written',
  },
  status: 412,
};

export const LOCATION: Headers = { Location: 'Where the new resource can be read' };
export const NEXT_PAGE: Headers = { Link: 'The next page, as `<url>; rel="next"`, while there is one (RFC 8288)' };
export const REQUEST_ID: Headers = { 'X-Request-Id': 'Names this request in the log' };
export const ETAG: Headers = { ETag: 'Changes with the resource' };

/** Header fields by name, in the form of the document. */
export const headerObjects = (headers: Headers): Record<string, { description: string; schema: { type: 'string' } }> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' as const } }]),
  );

/** Documents failures of the decorated handler, or of every handler of the decorated class. */
export const ApiFailures = (...kinds: readonly ErrorKind[]): ClassDecorator & MethodDecorator =>
  applyDecorators(...kinds.map((kind) => ApiResponse({ status: STATUS_OF[kind], type: ErrorResponse })));

/** Documents the headers of a condition, and its response. */
export const ApiCondition = ({ headers, status }: Condition): MethodDecorator =>
  applyDecorators(
    ...Object.entries(headers).map(([name, description]) =>
      ApiHeader({ name, description, required: false, schema: { type: 'string' } }),
    ),
    status === 304
      ? ApiResponse({ status, description: 'Not modified', headers: headerObjects({ ...REQUEST_ID, ...ETAG }) })
      : ApiFailures('precondition_failed'),
  );
