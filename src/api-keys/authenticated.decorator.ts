import {
  applyDecorators,
  type CanActivate,
  createParamDecorator,
  type ExecutionContext,
  type Type,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { ApiSecurity } from '@nestjs/swagger';
import { API_KEY_SCHEME } from '../common/docs/names.js';
import { ApiFailureExamples, ApiFailures, type Examples } from '../common/docs/responses.js';
import type { ErrorKind } from '../common/errors/domain.error.js';
import { DomainErrorFilter } from '../common/errors/error.filter.js';
import {
  AdministratorGuard,
  ApiKeyGuard,
  ForwardedApiKeyGuard,
  requestOf,
  ScopeGuard,
  UncountedApiKeyGuard,
} from './api-key.guard.js';
import {
  InsufficientScopeError,
  InvalidApiKeyError,
  MissingApiKeyError,
  NotAdministratorError,
  NotOneApiKeyError,
  RateLimitedError,
} from './api-keys.errors.js';
import type { Principal } from './principal.js';

/** A check of a route: the guard that performs it, and its description in the document. */
export interface Check {
  readonly guard: Type<CanActivate> | CanActivate;
  readonly fails: readonly ErrorKind[];
  readonly examples?: Examples;
  readonly documentation?: ClassDecorator & MethodDecorator;
}

export const KEY: Check = {
  guard: ApiKeyGuard,
  fails: ['unauthenticated', 'rate_limited', 'unavailable'],
  examples: {
    missing: new MissingApiKeyError(),
    invalid: new InvalidApiKeyError(),
    key: new RateLimitedError({ limit: 'key', quota: 6000, remaining: 0, resetSeconds: 60, isExceeded: true }),
    user: new RateLimitedError({ limit: 'user', quota: 9000, remaining: 0, resetSeconds: 60, isExceeded: true }),
  },
  documentation: ApiSecurity(API_KEY_SCHEME),
};

/** `KEY` for a service whose requests count for no rate limit. */
export const UNCOUNTED_KEY: Check = {
  ...KEY,
  guard: UncountedApiKeyGuard,
  fails: ['unauthenticated', 'unavailable'],
  examples: {
    missing: new MissingApiKeyError(),
    invalid: new InvalidApiKeyError(),
  },
};

/** `KEY` for the caller of a proxy, which may send the key as a bearer token. */
export const FORWARDED_KEY: Check = {
  ...KEY,
  guard: ForwardedApiKeyGuard,
  examples: { ...KEY.examples, missing: new NotOneApiKeyError() },
};

/** Requires `KEY` before it. */
export const ADMINISTRATOR: Check = {
  guard: AdministratorGuard,
  fails: ['forbidden'],
  examples: { role: new NotAdministratorError() },
};

/** Requires `KEY` before it. Null admits every key, undefined only those whose scopes are null. */
export const scopeChecks = (scope: string | null | undefined): Check[] =>
  scope === null
    ? []
    : [{ guard: new ScopeGuard(scope), fails: ['forbidden'], examples: { scope: new InsufficientScopeError(scope) } }];

/** Performs checks in the given order, and documents them. */
export const Checks = (...checks: readonly Check[]): ClassDecorator & MethodDecorator =>
  applyDecorators(
    UseGuards(...checks.map(({ guard }) => guard)),
    ApiFailures(...checks.flatMap(({ fails }) => fails)),
    ...checks.map(({ examples = {} }) => ApiFailureExamples(examples)),
    ...checks.flatMap(({ documentation }) => documentation ?? []),
  );

export interface AuthenticatedOptions {
  /**
   * The scope that a key needs unless its scopes are null, such as `jobs:write`; null admits every
   * live key. By default only keys whose scopes are null are admitted.
   */
  readonly scope?: string | null;
}

/**
 * Admits callers with a live API key to routes and resolvers of host applications, and documents
 * the key and the failures. Only errors of this package become an `ErrorResponse` on such a route.
 */
export const Authenticated = ({ scope }: AuthenticatedOptions = {}): ClassDecorator & MethodDecorator =>
  applyDecorators(Checks(KEY, ...scopeChecks(scope)), UseFilters(DomainErrorFilter));

/** Admits administrators only. */
export const Administrators = ({ scope }: AuthenticatedOptions = {}): ClassDecorator & MethodDecorator =>
  applyDecorators(Checks(KEY, ADMINISTRATOR, ...scopeChecks(scope)), UseFilters(DomainErrorFilter));

/** The `Principal` of the request, in a handler that requires a key. */
export const CurrentUser = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = requestOf(context);
  if (!principal) throw new Error('@CurrentUser() requires @Authenticated() on the handler or its controller');
  return principal;
});
