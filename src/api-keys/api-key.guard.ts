import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request, Response } from 'express';
import { NotAdministratorError } from './api-keys.errors.js';
import { AuthenticationService } from './authentication.service.js';
import type { LiveSecret } from './api-keys.repository.js';
import type { Principal } from './principal.js';

export interface AuthenticatedRequest extends Request {
  principal?: Principal;
}

@Injectable()
export class ApiKeyGuard implements CanActivate {
  constructor(private readonly authentication: AuthenticationService) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<AuthenticatedRequest>();
    const secret = await this.authentication.authenticate(request.header('x-api-key'));
    const { userId, keyId, isAdmin } = secret;
    request.principal = {
      type: 'API_KEY',
      userId,
      keyId,
      isAdmin,
      requestId: typeof request.id === 'string' ? request.id : null,
    };
    if (secret.supersededAt) warnOfSupersession(secret, http.getResponse<Response>());
    return true;
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
