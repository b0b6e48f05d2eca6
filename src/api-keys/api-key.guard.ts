import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import { DatabaseUnreachableError, isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { isRequestId } from '../audit-trail/actor.js';
import { type Caller, callerAddress } from '../common/http/caller-address.js';
import { parametersOf } from '../common/validation/request-validation.js';
import {
  InsufficientScopeError,
  InvalidApiKeyError,
  MissingApiKeyError,
  NotAdministratorError,
  NotOneApiKeyError,
} from './api-keys.errors.js';
import { AuthenticationService } from './authentication.service.js';
import type { Principal } from './principal.js';
import { rateLimitHeaders, type RateLimitState } from './rate-limit.headers.js';
import { RateLimits } from './rate-limits.service.js';

/**
 * The parts of a request that authentication uses. A transport other than HTTP supplies an object
 * of this form.
 */
export interface AuthenticatedRequest extends Caller {
  readonly headers: { readonly 'x-api-key'?: string | string[] | undefined };
  readonly id?: unknown;
  /** The response of Express. Absent for subscriptions over a socket and for microservices. */
  readonly res?: KeyedResponse | undefined;
  /** Set by `ApiKeyGuard`. */
  principal?: Principal;
}

interface KeyedResponse {
  readonly headersSent: boolean;
  setHeader(name: string, value: string): unknown;
  vary(field: string): unknown;
}

/** The requests that the guard of a host application returned, by an argument of the handler. */
const requests = new WeakMap<object, AuthenticatedRequest>();

/** An argument that the guards, pipes and parameter decorators of one call share. */
const callOf = (context: ExecutionContext): object | undefined =>
  context
    .getArgs<unknown[]>()
    .toReversed()
    .find((argument): argument is object => typeof argument === 'object' && argument !== null);

/**
 * The request of a handler: the HTTP request; `req` of the GraphQL context; or the handshake of a
 * WebSocket, which Socket.IO stores as `handshake` of the client.
 *
 * @throws for any other transport: its guard must override `ApiKeyGuard.requestOf`
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
    // One URL serves many callers, so a cache must store their responses separately, and revalidate
    // each before it is reused.
    response?.setHeader('Cache-Control', 'private, no-cache');
    response?.vary('x-api-key');
    const principal = await this.authenticate(request);
    // In a host application, the id of a request may be any value.
    request.principal = { ...principal, requestId: isRequestId(request.id) ? request.id : null };
    const limits = await this.countCall(principal);
    const headers = { ...rateLimitHeaders(limits), ...supersessionHeaders(principal) };
    for (const [name, value] of Object.entries(headers)) response?.setHeader(name, value);
    return true;
  }

  /** The request whose `x-api-key` header is checked and whose `principal` is set. */
  protected requestOf(context: ExecutionContext): AuthenticatedRequest {
    return requestOf(context);
  }

  /** The API key of the request, undefined without one. */
  protected presentedKey({ headers }: AuthenticatedRequest): string | undefined {
    return headers['x-api-key']?.toString();
  }

  /** @throws RateLimitedError */
  protected countCall(principal: Principal): Promise<readonly RateLimitState[]> {
    return this.limits.countCall(principal);
  }

  /** @throws RateLimitedError */
  protected countFailure(request: AuthenticatedRequest): Promise<void> {
    return this.limits.countFailure(callerAddress(request));
  }

  private async authenticate(request: AuthenticatedRequest): Promise<Principal> {
    try {
      return await this.authentication.authenticate(this.presentedKey(request));
    } catch (error) {
      const refused = error instanceof MissingApiKeyError || error instanceof InvalidApiKeyError;
      if (refused) await this.countFailure(request);
      // Host applications do not map these errors, so an unavailable database becomes 503 here.
      throw isDatabaseUnavailable(error) ? new DatabaseUnreachableError(error) : error;
    }
  }
}

/**
 * Authenticates a service that verifies the keys of others. Its requests and failures count for no
 * rate limit, because its own callers cause them.
 */
@Injectable()
export class UncountedApiKeyGuard extends ApiKeyGuard {
  protected override countCall(): Promise<readonly RateLimitState[]> {
    return Promise.resolve([]);
  }

  protected override countFailure(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Authenticates the caller of a proxy, which sends its key in `x-api-key` or as a bearer token (RFC
 * 6750). A request with both is ambiguous, so it is refused.
 */
@Injectable()
export class ForwardedApiKeyGuard extends ApiKeyGuard {
  override async canActivate(context: ExecutionContext): Promise<boolean> {
    context.switchToHttp().getResponse<Response>().vary('authorization');
    try {
      return await super.canActivate(context);
    } catch (error) {
      throw error instanceof MissingApiKeyError ? new NotOneApiKeyError() : error;
    }
  }

  protected override presentedKey(request: AuthenticatedRequest): string | undefined {
    const { headersDistinct } = request as unknown as Request; // `headers` has only the first Authorization
    const { 'x-api-key': keys = [], authorization: authorizations = [] } = headersDistinct;
    const tokens = authorizations.flatMap((text) => /^Bearer +(.*)$/i.exec(text)?.[1] ?? []);
    const [key, ...others] = [...keys, ...tokens];
    return others.length === 0 ? key : undefined;
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

/** Requires the scope for a body with any of these properties. */
export class BodyScopeGuard extends ScopeGuard {
  constructor(
    private readonly properties: readonly string[],
    scope: string,
  ) {
    super(scope);
  }

  override canActivate(context: ExecutionContext): boolean {
    const body = context.switchToHttp().getRequest<Request>().body as Readonly<Record<string, unknown>>;
    return this.properties.every((property) => body[property] === undefined) || super.canActivate(context);
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
 * Refuses requests that have one of these query parameters, whatever its value, unless the caller
 * is an administrator.
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
