import { applyDecorators, type Type } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiResponse } from '@nestjs/swagger';
import { type ErrorKind, STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';

/** The conditional headers of a request, as documented, and whether they add a response. */
interface Condition {
  readonly headers: Headers;
  readonly notModified: boolean;
}

/** Of requests that read. */
export const IF_NONE_MATCH: Condition = {
  headers: { 'If-None-Match': 'The ETag of an earlier answer: if it still holds, the answer is 304 and empty' },
  notModified: true,
};

/** Of requests that change something. */
export const IF_MATCH: Condition = {
  headers: {
    'If-Match': 'The ETag of an earlier answer: if it no longer holds, the answer is 412 and nothing is written',
    'If-None-Match': 'An ETag, or `*` for any: if it holds, the answer is 412 and nothing is written',
  },
  notModified: false,
};

/** Header fields of a successful answer, with what they say. */
type Headers = Readonly<Record<string, string>>;

export const LOCATION: Headers = { Location: 'Where the new resource can be read' };
export const NEXT_PAGE: Headers = { Link: 'The next page, as `<url>; rel="next"`, while there is one (RFC 8288)' };
const REQUEST_ID: Headers = { 'X-Request-Id': 'Names this request in the log' };
export const ETAG: Headers = { ETag: 'Changes with the resource' };

interface Documentation {
  readonly id: string;
  readonly summary: string;
  /** What a reader wants to know before the first call: effects, repetition, what the particular failures mean. */
  readonly details: string;
  /** The body of the answer; undefined for one without. */
  readonly returns?: Type;
  readonly status?: number;
  readonly description: string;
  readonly headers?: Headers;
  readonly condition?: Condition;
  readonly fails?: readonly ErrorKind[];
}

/** Documents failures that the decorated handler, or every handler of the decorated class, can answer with. */
export const ApiFailures = (...kinds: readonly ErrorKind[]): ClassDecorator & MethodDecorator =>
  applyDecorators(...kinds.map((kind) => ApiResponse({ status: STATUS_OF[kind], type: ErrorResponse })));

/** Header fields by name, as the document has them. */
export const headerObjects = (headers: Headers): Record<string, { description: string; schema: { type: 'string' } }> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' as const } }]),
  );

/** Documents a handler: what it does, what it answers, and the failures it adds to those of its guards. */
export const Documented = (documentation: Documentation): MethodDecorator => {
  const { id, summary, details, returns, status = 200, description, headers, condition, fails = [] } = documentation;
  const answer = {
    status,
    description,
    headers: headerObjects({ ...REQUEST_ID, ...(condition && returns && ETAG), ...headers }),
  };
  return applyDecorators(
    ApiOperation({ operationId: id, summary, description: details }),
    ApiResponse(returns ? { ...answer, type: returns } : answer),
    ...(condition ? conditional(condition) : []),
    ApiFailures(...fails),
  );
};

const conditional = ({ headers, notModified }: Condition): MethodDecorator[] => [
  ...Object.entries(headers).map(([name, description]) =>
    ApiHeader({ name, description, required: false, schema: { type: 'string' } }),
  ),
  ...(notModified
    ? [ApiResponse({ status: 304, description: 'Not modified', headers: headerObjects({ ...REQUEST_ID, ...ETAG }) })]
    : []),
];
