import { applyDecorators } from '@nestjs/common';
import { ApiHeader, ApiResponse } from '@nestjs/swagger';
import { type DomainError, type ErrorKind, STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';
import { nameSchemas } from './names.js';

nameSchemas(ErrorResponse);

/** Header fields of a response with their descriptions. */
export type Headers = Readonly<Record<string, string>>;

/** Failures, by the name of the example in the document. */
export type Examples = Readonly<Record<string, DomainError>>;

/**
 * The conditional headers of a request, and the status of the response if the condition ends the
 * request.
 */
export interface Condition {
  readonly headers: Readonly<Record<string, { readonly description: string; readonly example: string }>>;
  readonly status: 304 | 412;
}

/** An entity tag of the user of the other examples. */
const TAG = '"0198c5a2-7b1e-4c7d-9f43-2a6d5e8b1c90.1"';

/** For requests that read. */
export const IF_NONE_MATCH: Condition = {
  headers: {
    'If-None-Match': {
      description:
        'The `ETag` of an earlier response, or several with commas: if it still holds, the response is 304 without a body',
      example: TAG,
    },
  },
  status: 304,
};

/** For requests that change something. */
export const IF_MATCH: Condition = {
  headers: {
    'If-Match': {
      description:
        'The `ETag` of an earlier response, several with commas, or `*` for any: if it no longer holds, the response is 412 and nothing is written',
      example: '*',
    },
    'If-None-Match': {
      description:
        'An `ETag`, several with commas, or `*` for any: if it holds, the response is 412 and nothing is written',
      example: TAG,
    },
  },
  status: 412,
};

export const LOCATION: Headers = { Location: 'The path of the new resource' };
export const PAGE_HEADERS: Headers = {
  Link: 'The next page, as `<url>; rel="next"`, while there is one (RFC 8288)',
  'Total-Pages-Estimated': 'true where `total_pages` is an estimate',
};
export const REQUEST_ID: Headers = { 'X-Request-Id': 'Identifies this request in the log' };
export const ETAG: Headers = { ETag: 'The version of the resource: a strong entity tag that changes with it' };

/** Bytes of a header section; a longer one is 431 (`maxHeaderSize` of Node). */
export const HEADER_LIMIT = 16 * 1024;

interface TextSchema {
  readonly type: 'string';
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly enum?: string[];
}

const UUID_HEADER = { maxLength: 36, format: 'uuid' };

/** The values of the header fields of responses. A field that is not listed here is text. */
const HEADER_SCHEMAS: Readonly<Record<string, Omit<TextSchema, 'type'>>> = {
  'Accept-Patch': { maxLength: 50, pattern: '^[a-z/+-]+(, [a-z/+-]+)*$' },
  Deprecation: { maxLength: 20, pattern: '^@-?[0-9]{1,12}$' },
  ETag: { maxLength: 58, pattern: '^"[0-9a-f-]{36}\\.[0-9]{1,19}"$' },
  'Idempotency-Replayed': { enum: ['true'] },
  Link: { maxLength: HEADER_LIMIT, pattern: '^<[^>]+>; rel="next"$' },
  Location: { maxLength: HEADER_LIMIT, format: 'uri-reference' },
  RateLimit: { maxLength: 200, pattern: '^"[a-z]+";r=[0-9]+;t=[0-9]+(, "[a-z]+";r=[0-9]+;t=[0-9]+)*$' },
  'RateLimit-Policy': { maxLength: 200, pattern: '^"[a-z]+";q=[0-9]+;w=[0-9]+(, "[a-z]+";q=[0-9]+;w=[0-9]+)*$' },
  'Retry-After': { maxLength: 10, pattern: '^[0-9]+$' },
  'Total-Pages-Estimated': { enum: ['true'] },
  Sunset: { maxLength: 29, pattern: '^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$' },
  'WWW-Authenticate': { maxLength: 100, pattern: '^ApiKey ' },
  'X-Api-Key-Id': UUID_HEADER,
  'X-Api-Key-Name': { maxLength: 255, pattern: '^[a-z0-9-]+$' },
  'X-Api-Key-Scopes': { maxLength: 2_079, pattern: '^[*a-z0-9._:/ -]+$' },
  'X-User-Id': UUID_HEADER,
  'X-Request-Id': { maxLength: 128, pattern: '^[0-9A-Za-z_.:=/+-]{1,128}$' },
};

/** Header fields by name, in the form of the document. */
export const headerObjects = (headers: Headers): Record<string, { description: string; schema: TextSchema }> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [
      name,
      { description, schema: { type: 'string', ...HEADER_SCHEMAS[name] } },
    ]),
  );

/** Documents failures of the decorated handler, or of every handler of the decorated class. */
export const ApiFailures = (...kinds: readonly ErrorKind[]): ClassDecorator & MethodDecorator =>
  applyDecorators(...kinds.map((kind) => ApiResponse({ status: STATUS_OF[kind], type: ErrorResponse })));

/** Documents failures by examples, each with the body that the caller receives. */
export const ApiFailureExamples = (examples: Examples): ClassDecorator & MethodDecorator =>
  applyDecorators(
    ...Object.entries(examples).map(([name, { kind, message }]) => {
      const status = STATUS_OF[kind];
      return ApiResponse({
        status,
        type: ErrorResponse,
        examples: { [name]: { summary: message, value: { status, message } } },
      });
    }),
  );

/** Documents the headers of a condition, and its response. */
export const ApiCondition = ({ headers, status }: Condition): MethodDecorator =>
  applyDecorators(
    ...Object.entries(headers).map(([name, { description, example }]) =>
      ApiHeader({
        name,
        description,
        required: false,
        example,
        schema: { type: 'string', maxLength: HEADER_LIMIT },
      }),
    ),
    status === 304
      ? ApiResponse({ status, description: 'Not modified', headers: headerObjects({ ...REQUEST_ID, ...ETAG }) })
      : ApiFailures('precondition_failed'),
  );
