import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { DatabaseUnreachableError, isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { isRequestId } from '../audit-trail/actor.js';
import { type Caller, callerAddress } from '../common/http/caller-address.js';
import { parametersOf } from '../common/validation/request-validation.js';
import {
  InsufficientScopeError,
  InvalidApiKeyError,
  MissingApiKeyError,
  NotAdministratorError,
} from './api-keys.errors.js';
import { AuthenticationService } from './authentication.service.js';
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

/** The requests that a guard of another application has found, by the arguments of the handler. */
const requests = new WeakMap<object, AuthenticatedRequest>();

/** An argument that the guards, the pipes and the parameters of one call share. */
const callOf = (context: ExecutionContext): object | undefined =>
  context
    .getArgs<unknown[]>()
    .toReversed()
    .find((argument): argument is object => typeof argument === 'object' && argument !== null);

/**
 * The request of a handler: that of HTTP; of GraphQL, whose context has it as `req`; or the
 * handshake of a WebSocket, which Socket.IO keeps as `handshake` of the client.
 *
 * @throws for another transport, whose guard overrides `ApiKeyGuard.requestOf`
 */
export function requestOf(context: ExecutionContext): AuthenticatedRequest {
  const type = context.getType<string>();
  if (type === 'http') return context.switchToHttp().getRequest<AuthenticatedRequest>();
  const request = requests.get(callOf(context) ?? context) ?? requestOfTransport(context, type);
  if (!request) throw new Error(`No request in this context (${type}): extend ApiKeyGuard and override requestOf()`);
  return request;
}

function requestOfTransport(context: ExecutionContext, type: string): AuthenticatedRequest | undefined {
  if (type === 'graphql') return context.getArgByIndex<{ req?: AuthenticatedRequest }>(2).req;
  if (type === 'ws') return context.switchToWs().getClient<{ handshake?: AuthenticatedRequest }>().handshake;
  return undefined;
}

/** Authenticates the caller, and counts the request for the rate limits of its key and user. */
@Injectable()
export class ApiKeyGuard implements CanActivate {
  constructor(
    private readonly authentication: AuthenticationService,
    private readonly limits: RateLimits,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = this.requestOf(context);
    const call = context.getType() === 'http' ? undefined : callOf(context);
    if (call) requests.set(call, request); // for `@CurrentUser()`, which cannot call an overridden `requestOf`
    const { res } = request;
    const response = res?.headersSent ? undefined : res;
    // One URL serves many callers, so a cache must keep their answers apart and ask before it uses
    // one.
    response?.setHeader('Cache-Control', 'private, no-cache');
    response?.vary('x-api-key');
    const principal = await this.authenticate(request);
    // In another application, the id of a request may be anything.
    request.principal = { ...principal, requestId: isRequestId(request.id) ? request.id : null };
    const limits = await this.limits.countCall(principal);
    const headers = { ...rateLimitHeaders(limits), ...supersessionHeaders(principal) };
    for (const [name, value] of Object.entries(headers)) response?.setHeader(name, value);
    return true;
  }

  /** The request, whose `x-api-key` header is checked and whose `principal` is set. */
  protected requestOf(context: ExecutionContext): AuthenticatedRequest {
    return requestOf(context);
  }

  private async authenticate(request: AuthenticatedRequest): Promise<Principal> {
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
 * Requires `ApiKeyGuard` before it, and a key that has the scope, or whose scopes are null.
 *
 * @param scope undefined admits only keys whose scopes are null
 */
export class ScopeGuard implements CanActivate {
  constructor(private readonly scope: string | undefined) {}

  canActivate(context: ExecutionContext): boolean {
    const { principal } = requestOf(context);
    const scopes = principal ? principal.scopes : [];
    if (scopes === null || (this.scope !== undefined && scopes.includes(this.scope))) return true;
    throw new InsufficientScopeError(this.scope);
  }
}

/** Requires the scope for a query parameter, which may be absent. */
export class QueryScopeGuard extends ScopeGuard {
  constructor(
    private readonly parameter: string,
    scope: string,
  ) {
    super(scope);
  }

  override canActivate(context: ExecutionContext): boolean {
    const sent = parametersOf(context.switchToHttp().getRequest<Request>());
    return !sent.has(this.parameter) || super.canActivate(context);
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
const supersessionHeaders = ({ superseded }: Principal): Record<string, string> =>
  superseded
    ? {
        Deprecation: `@${String(Math.floor(superseded.at.getTime() / 1000))}`,
        Sunset: superseded.until.toUTCString(),
      }
    : {};
