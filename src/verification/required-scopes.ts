import { applyDecorators } from '@nestjs/common';
import { ApiHeader, ApiQuery } from '@nestjs/swagger';
import type { Request } from 'express';
import { MAX_SCOPE_LENGTH, SCOPE } from '../api-keys/scopes.js';
import { HEADER_LIMIT } from '../common/docs/responses.js';
import { parametersOf } from '../common/validation/request-validation.js';

/** Documents the query parameter and the header in which a proxy may name scopes. */
export const ApiRequiredScopes = (): MethodDecorator =>
  applyDecorators(
    ApiQuery({
      name: 'scope',
      required: false,
      description: 'A scope that the key must have; repeatable',
      schema: {
        type: 'array',
        example: ['jobs:write'],
        maxItems: 500,
        items: { type: 'string', pattern: SCOPE, maxLength: MAX_SCOPE_LENGTH },
      },
    }),
    ApiHeader({
      name: 'X-Required-Scope',
      required: false,
      description: 'More scopes that the key must have, with commas or blanks between them',
      example: 'jobs:write',
      schema: { type: 'string', maxLength: HEADER_LIMIT },
    }),
  );

/**
 * The scopes that a proxy requires, from the query and from a header. A caller of the proxy may
 * have added scopes to either, which can only lead to more refusals.
 */
export function requiredScopes(request: Request): string[] {
  const { 'x-required-scope': headers = [] } = request.headersDistinct;
  const named = headers.flatMap((header) => header.split(/[, \t]+/)).filter((name) => name !== '');
  return [...parametersOf(request).getAll('scope'), ...named];
}
