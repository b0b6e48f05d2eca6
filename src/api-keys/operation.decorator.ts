import { applyDecorators, Controller, HttpCode, type Type, UseFilters, VERSION_NEUTRAL } from '@nestjs/common';
import { METHOD_METADATA } from '@nestjs/common/constants.js';
import { Reflector } from '@nestjs/core';
import { ApiConsumes, ApiExtension, ApiOperation, ApiParam, ApiResponse } from '@nestjs/swagger';
import { ANY_METHOD, nameSchemas, operationId } from '../common/docs/names.js';
import {
  ApiCondition,
  ApiFailureExamples,
  ApiFailures,
  type Condition,
  ETAG,
  type Examples,
  headerObjects,
  type Headers,
  REQUEST_ID,
} from '../common/docs/responses.js';
import type { ErrorKind } from '../common/errors/domain.error.js';
import { ErrorFilter } from '../common/errors/error.filter.js';
import { BodyTooLargeError, JsonBodyGuard, MEDIA_TYPES, OtherMediaTypeError } from '../common/http/json-body.guard.js';
import { NotAnObjectError } from '../common/http/json-object.js';
import { type PathParameters, PathParametersGuard } from '../common/http/path-parameters.guard.js';
import { NoSuchRouteError } from '../common/http/route-miss.js';
import { QueryGuard, UnknownPropertyError } from '../common/validation/request-validation.js';
import { AdministratorQueryGuard, BodyScopeGuard, QueryScopeGuard } from './api-key.guard.js';
import { InsufficientScopeError } from './api-keys.errors.js';
import {
  ADMINISTRATOR,
  type Check,
  Checks,
  FORWARDED_KEY,
  KEY,
  scopeChecks,
  UNCOUNTED_KEY,
} from './authenticated.decorator.js';
import type { OwnScope } from './scopes.js';

export type { PathParameter } from '../common/http/path-parameters.guard.js';

/** The checks of the caller for each kind of access. */
const ACCESS = {
  anyone: [],
  user: [KEY],
  administrator: [KEY, ADMINISTRATOR],
  /** An administrator whose requests count for no rate limit. */
  service: [UNCOUNTED_KEY, ADMINISTRATOR],
  /** A user whose key a proxy forwards, also as a bearer token. */
  forwarded: [FORWARDED_KEY],
} as const satisfies Record<string, readonly Check[]>;

const UNKNOWN_PARAMETER: Examples = { parameter: new UnknownPropertyError('limit') };
const BODY_FAILURES: Examples = {
  media_type: new OtherMediaTypeError(),
  size: new BodyTooLargeError(),
  property: new UnknownPropertyError('nickname'),
  body: new NotAnObjectError(),
};

/** The failures that no check, condition or path parameter implies. */
type HandlerFailure = Extract<ErrorKind, 'forbidden' | 'payment_required' | 'not_found' | 'conflict' | 'unavailable'>;

/** A route: the requests that it accepts and the responses that it returns. */
export interface OperationDeclaration<R = unknown> {
  readonly id: string;
  readonly summary: string;
  /** The effects, whether a repeat is safe, and the meaning of particular failures. */
  readonly details: string;
  readonly access: keyof typeof ACCESS;
  /** The scope that a key needs unless its scopes are null; null for none. */
  readonly scope: OwnScope | null;
  /** The path parameters. A path that does not match their patterns is an unknown path (404). */
  readonly params?: PathParameters;
  /**
   * The query parameter that only administrators may send, with the additional scope that it needs.
   */
  readonly administratorQuery?: { readonly parameter: string; readonly scope: OwnScope };
  /** The class of the handler's `@Query()`; without it, the route ignores its query. */
  readonly query?: Type;
  /**
   * The class of the handler's `@Body()`, a JSON object; without it, the route ignores its body.
   */
  readonly body?: Type;
  /** The properties of the body that need an additional scope. */
  readonly bodyScope?: { readonly properties: readonly string[]; readonly scope: OwnScope };
  readonly condition?: Condition;
  /** For a handler with `@All()`, which the document lists as GET. */
  readonly acceptsAnyMethod?: boolean;
  /**
   * The class of the response body, which is the return type of the handler; undefined for a
   * response without a body.
   */
  readonly returns?: Type<R>;
  /** 200 by default. */
  readonly status?: number;
  readonly description: string;
  readonly headers?: Headers;
  /** The response to a repeated request, if the handler sets another status for it. */
  readonly repeat?: { readonly status: number; readonly description: string; readonly headers: Headers };
  /** The failures that only this handler adds. */
  readonly fails?: readonly HandlerFailure[];
  /** Failures of this route, as examples in the document, except those of its checks. */
  readonly examples?: Examples;
}

/** The declaration of a handler, as metadata: `reflector.get(Declared, handler)`. */
export const Declared = Reflector.createDecorator<OperationDeclaration>();

/**
 * Declares a route. Its checks run in the order of `checksOf`, whatever the order of the properties
 * here. Each check documents its own failures.
 */
export const Operation = <R = void>(declaration: OperationDeclaration<R>): OperationDecorator<R> => {
  const { id, summary, details, returns, status = 200, description, headers, condition, fails = [] } = declaration;
  const { params = {}, examples = {}, scope, body, acceptsAnyMethod, repeat } = declaration;
  nameSchemas(...[body, returns].filter((type) => type !== undefined));
  const responses = [{ status, description, headers }, ...(repeat ? [repeat] : [])].map((response) => ({
    ...response,
    ...(returns && { type: returns }),
    headers: headerObjects({ ...REQUEST_ID, ...(condition && returns && ETAG), ...response.headers }),
  }));
  return applyDecorators(
    Declared(declaration),
    ApiFailureExamples(examples), // before the examples of the checks
    Checks(...checksOf(declaration)),
    HttpCode(status),
    ApiOperation({
      operationId: operationId(id),
      summary,
      description: scope === null ? details : `${details}\n\nScope: \`${scope}\``,
    }),
    ...(scope === null ? [] : [ApiExtension('x-required-scope', scope)]),
    ...(acceptsAnyMethod ? [ApiExtension(ANY_METHOD, true)] : []),
    ...Object.entries(params).map(([name, { description: text, example, schema }]) =>
      ApiParam({ name, description: text, schema: { type: 'string', example, ...schema } }),
    ),
    ...responses.map((response) => ApiResponse(response)),
    ...(condition ? [ApiCondition(condition)] : []),
    ApiFailures(...fails),
  );
};

/** A handler that returns anything other than `R` does not compile. */
type OperationDecorator<R> = <H extends (...args: never[]) => R | Promise<R>>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<H>,
) => void;

/**
 * The checks of a route, in the order in which they run: the caller is checked before its query and
 * its body.
 */
function checksOf({
  params,
  access,
  scope,
  administratorQuery,
  query,
  body,
  bodyScope,
}: OperationDeclaration): Check[] {
  const checks: (Check | undefined)[] = [
    params && {
      guard: new PathParametersGuard(params),
      fails: ['not_found'],
      examples: { path: new NoSuchRouteError() },
    },
    ...ACCESS[access],
    ...scopeChecks(scope),
    administratorQuery && { ...ADMINISTRATOR, guard: new AdministratorQueryGuard([administratorQuery.parameter]) },
    query && { guard: new QueryGuard(query), fails: ['invalid'], examples: UNKNOWN_PARAMETER },
    administratorQuery && {
      guard: new QueryScopeGuard(administratorQuery.parameter, administratorQuery.scope),
      fails: ['forbidden'],
      examples: { parameter_scope: new InsufficientScopeError(administratorQuery.scope) },
    },
    body && {
      guard: new JsonBodyGuard(body),
      fails: ['unsupported_media_type', 'too_large', 'invalid'],
      examples: BODY_FAILURES,
      documentation: ApiConsumes(...MEDIA_TYPES),
    },
    bodyScope && {
      guard: new BodyScopeGuard(bodyScope.properties, bodyScope.scope),
      fails: ['forbidden'],
      examples: { property_scope: new InsufficientScopeError(bodyScope.scope) },
    },
  ];
  return checks.filter((check) => check !== undefined);
}

/**
 * A controller of version 1 of the API, with the same error responses in every application. The
 * version is part of the path, so that it does not depend on how the application versions its own
 * routes.
 *
 * @throws when a route has no `@Operation`: it would be open to everyone
 */
export const ApiController = (path: string): ClassDecorator =>
  applyDecorators(
    refuseUndeclaredRoutes,
    Controller({ path: `v1/${path}`, version: VERSION_NEUTRAL }),
    UseFilters(ErrorFilter),
    ApiFailures('internal'),
  );

const refuseUndeclaredRoutes: ClassDecorator = ({ name, prototype }) => {
  const methods = Object.getOwnPropertyDescriptors(prototype) as Record<string, { readonly value?: unknown }>;
  for (const [key, { value }] of Object.entries(methods)) {
    const isRoute = typeof value === 'function' && Reflect.hasMetadata(METHOD_METADATA, value);
    if (isRoute && !Reflect.hasMetadata(Declared.KEY, value)) throw new Error(`${name}.${key} needs @Operation`);
  }
};
