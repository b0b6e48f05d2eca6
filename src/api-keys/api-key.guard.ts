import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { DatabaseUnreachableError, isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { isRequestId } from '../audit-trail/actor.js';
import { type Caller, callerAddress } from '../common/http/caller-address.js';
import { parametersOf } from '../common/validation/request-validation.js';
import { InvalidApiKeyError, MissingApiKeyError, NotAdministratorError } from './api-keys.errors.js';
import { AuthenticationService } from './authentication.service.js';
import type { LiveSecret } from './secrets.repository.js';
import type { Principal } from './principal.js';
import { rateLimitHeaders } from './rate-limit.headers.js';
import { RateLimits } from './rate-limits.service.js';

/**
 * The parts of a request that authentication uses. A transport without HTTP supplies an object of
 * this form.
 */
export interface AuthenticatedRequest extends Caller {
  readonly headers: { readonly 'x-api-key'?: string | string[] | undefined };
  readonly id?: unknown;
  /**
   * The response, where Express has one: subscriptions over a socket and microservices have none.
   */
  readonly res?: KeyedResponse | undefined;
  /** Set by `ApiKeyGuard`. */
  principal?: Principal;
}

interface KeyedResponse {
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  vary(field: string): unknown;
}

/**
 * The request of a handler of HTTP, or of GraphQL, whose context has it as `req`.
 *
 * @throws for another transport, whose guard overrides `ApiKeyGuard.requestOf`
 */
export function requestOf(context: ExecutionContext): AuthenticatedRequest {
  const type = context.getType<string>();
  if (type === 'http') return context.switchToHttp().getRequest<AuthenticatedRequest>();
  const req = type === 'graphql' ? context.getArgByIndex<{ req?: AuthenticatedRequest }>(2).req : undefined;
  if (!req) throw new Error(`No request in this context (${type}): extend ApiKeyGuard and override requestOf()`);
  return req;
}

/** Authenticates the caller, and counts the request for the rate limit of its key. */
@Injectable()
export class ApiKeyGuard implements CanActivate {
  constructor(
    private readonly authentication: AuthenticationService,
    private readonly limits: RateLimits,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = this.requestOf(context);
    const { res } = request;
    const response = res?.headersSent ? undefined : res;
    // One URL serves many callers, so a cache must keep their answers apart and ask before it uses
    // one.
    response?.setHeader('Cache-Control', 'private, no-cache');
    response?.vary('x-api-key');
    const secret = await this.authenticate(request);
    const { userId, keyId, isAdmin } = secret;
    request.principal = {
      type: 'API_KEY',
      userId,
      keyId,
      isAdmin,
      requestId: isRequestId(request.id) ? request.id : null, // in another application it may be anything
    };
    const limit = await this.limits.countCall(keyId);
    const headers = { ...(limit && rateLimitHeaders(limit)), ...supersessionHeaders(secret) };
    for (const [name, value] of Object.entries(headers)) response?.setHeader(name, value);
    return true;
  }

  /** The request, whose `x-api-key` header is checked and whose `principal` is set. */
  protected requestOf(context: ExecutionContext): AuthenticatedRequest {
    return requestOf(context);
  }

  private async authenticate(request: AuthenticatedRequest): Promise<LiveSecret> {
    try {
      return await this.authentication.authenticate(request.headers['x-api-key']?.toString());
    } catch (error) {
      const refused = error instanceof MissingApiKeyError || error instanceof InvalidApiKeyError;
      if (refused) await this.limits.countFailure(callerAddress(request));
      // An unavailable database is 503 in a host application too, which does not map these errors.
      throw isDatabaseUnavailable(error) ? new DatabaseUnreachableError(error) : error;
    }
  }
}

/** Requires `ApiKeyGuard` before it. */
@Injectable()
export class AdministratorGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (requestOf(context).principal?.isAdmin) return true;
    throw new NotAdministratorError();
  }
}

/**
 * Refuses requests that are not an administrator's and have one of these query parameters, whatever
 * its value.
 */
export class AdministratorQueryGuard implements CanActivate {
  constructor(private readonly parameters: readonly string[]) {}

  canActivate(context: ExecutionContext): boolean {
    const sent = parametersOf(context.switchToHttp().getRequest<Request>());
    if (requestOf(context).principal?.isAdmin || !this.parameters.some((name) => sent.has(name))) return true;
    throw new NotAdministratorError();
  }
}

/**
 * Tells a caller that a rotation replaced its secret (RFC 9745), and until when the secret works
 * (RFC 8594).
 */
const supersessionHeaders = ({ supersededAt, supersededUntil }: LiveSecret): Record<string, string> =>
  supersededAt && supersededUntil
    ? {
        Deprecation: `@${String(Math.floor(supersededAt.getTime() / 1000))}`,
        Sunset: supersededUntil.toUTCString(),
      }
    : {};
