import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import { DatabaseUnreachableError, isDatabaseUnavailable } from '../common/errors/database-unavailable.js';
import { isRequestId } from '../common/audit/actor.js';
import { callerAddress } from '../common/http/caller-address.js';
import { InvalidApiKeyError, MissingApiKeyError, NotAdministratorError } from './api-keys.errors.js';
import { AuthenticationService } from './authentication.service.js';
import type { LiveSecret } from './secrets.repository.js';
import type { Principal } from './principal.js';
import { rateLimitHeaders } from './rate-limit.js';
import { RateLimits } from './rate-limits.js';

export interface AuthenticatedRequest extends Request {
  principal?: Principal;
}

@Injectable()
export class ApiKeyGuard implements CanActivate {
  constructor(
    private readonly authentication: AuthenticationService,
    private readonly limits: RateLimits,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<AuthenticatedRequest>();
    const response = http.getResponse<Response>();
    // One URL serves many callers, so a cache must keep their answers apart and ask before it uses one.
    response.setHeader('Cache-Control', 'private, no-cache');
    response.vary('x-api-key');
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
    if (limit) response.set(rateLimitHeaders(limit));
    if (secret.supersededAt) warnOfSupersession(secret, response);
    return true;
  }

  private async authenticate(request: Request): Promise<LiveSecret> {
    try {
      return await this.authentication.authenticate(request.header('x-api-key'));
    } catch (error) {
      const refused = error instanceof MissingApiKeyError || error instanceof InvalidApiKeyError;
      if (refused) await this.limits.countFailure(callerAddress(request));
      // In an application that knows nothing of our errors, too, a database that is away is 503.
      throw isDatabaseUnavailable(error) ? new DatabaseUnreachableError(error) : error;
    }
  }
}

/** Comes after `ApiKeyGuard`. */
@Injectable()
export class AdministratorGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (context.switchToHttp().getRequest<AuthenticatedRequest>().principal?.isAdmin) return true;
    throw new NotAdministratorError();
  }
}

/** A caller with a secret that a rotation replaced is told so (RFC 9745), and until when it works (RFC 8594). */
function warnOfSupersession({ supersededAt, supersededUntil }: LiveSecret, response: Response): void {
  if (!supersededAt || !supersededUntil) return;
  response.setHeader('Deprecation', `@${String(Math.floor(supersededAt.getTime() / 1000))}`);
  response.setHeader('Sunset', supersededUntil.toUTCString());
}
