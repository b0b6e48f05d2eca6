import { applyDecorators, createParamDecorator, type ExecutionContext, UseFilters, UseGuards } from '@nestjs/common';
import { ApiSecurity } from '@nestjs/swagger';
import { DomainErrorFilter } from '../common/errors/error.filter.js';
import { ApiFailures } from '../common/docs/documented.decorator.js';
import { AdministratorGuard, ApiKeyGuard, type AuthenticatedRequest } from './api-key.guard.js';
import type { Principal } from './principal.js';

/** The name of the security scheme in the published document. */
export const API_KEY_SCHEME = 'ApiKeyAuth';

/**
 * Admits callers with a live API key, and documents the key and the refusal. Our errors, and no others, then leave the route as an
 * `ErrorResponse`.
 */
export const Authenticated = (): ClassDecorator & MethodDecorator =>
  applyDecorators(
    UseGuards(ApiKeyGuard),
    UseFilters(DomainErrorFilter),
    ApiSecurity(API_KEY_SCHEME),
    ApiFailures('unauthenticated', 'rate_limited', 'unavailable'),
  );

/** Admits administrators alone, and documents that. */
export const Administrators = (): ClassDecorator & MethodDecorator =>
  applyDecorators(Authenticated(), UseGuards(AdministratorGuard), ApiFailures('forbidden'));

/** The `Principal` of a handler behind `@Authenticated()`. */
export const CurrentUser = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<AuthenticatedRequest>();
  if (!principal) throw new Error('@CurrentUser() stands on a handler that is not behind @Authenticated()');
  return principal;
});
