import { applyDecorators, type Type } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiResponse } from '@nestjs/swagger';
import { type ErrorKind, STATUS_OF } from '../errors/domain.error.js';
import { ErrorResponse } from '../errors/error.response.js';

/** A conditional request header, as documented, and the answer it adds. */
interface Condition {
  readonly header: string;
  readonly description: string;
  readonly notModified: boolean;
}

export const IF_NONE_MATCH: Condition = {
  header: 'If-None-Match',
  description: 'The ETag of an earlier answer: if it still holds, the answer is 304 and empty',
  notModified: true,
};

export const IF_MATCH: Condition = {
  header: 'If-Match',
  description: 'The ETag of an earlier answer: if it no longer holds, the answer is 412 and nothing is written',
  notModified: false,
};

interface Documentation {
  readonly id: string;
  readonly summary: string;
  readonly returns: Type;
  readonly description: string;
  readonly condition?: Condition;
  readonly fails?: readonly ErrorKind[];
}

/** Documents failures that the decorated handler, or every handler of the decorated class, can answer with. */
export const ApiFailures = (...kinds: readonly ErrorKind[]): ClassDecorator & MethodDecorator =>
  applyDecorators(...kinds.map((kind) => ApiResponse({ status: STATUS_OF[kind], type: ErrorResponse })));

const REQUEST_ID = { 'X-Request-Id': { description: 'Names this request in the log', schema: { type: 'string' } } };
const ETAG = { ETag: { description: 'Changes with the resource', schema: { type: 'string' } } };

/** Documents a handler: what it does, what it answers, and the failures it adds to those of its guards. */
export const Documented = ({
  id,
  summary,
  returns,
  description,
  condition,
  fails = [],
}: Documentation): MethodDecorator =>
  applyDecorators(
    ApiOperation({ operationId: id, summary }),
    ApiResponse({ status: 200, description, type: returns, headers: { ...REQUEST_ID, ...(condition && ETAG) } }),
    ...(condition
      ? [
          ApiHeader({
            name: condition.header,
            description: condition.description,
            required: false,
            schema: { type: 'string' },
          }),
        ]
      : []),
    ...(condition?.notModified
      ? [ApiResponse({ status: 304, description: 'Not modified', headers: { ...REQUEST_ID, ...ETAG } })]
      : []),
    ApiFailures(...fails, 'internal'),
  );
