import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { ApiKeyGuard } from '@users-api/server';
import { JwtGuard, type TokenRequest } from './jwt.guard.js';

/** Admits callers with a key, and callers with a token. */
@Injectable()
export class KeyOrTokenGuard implements CanActivate {
  constructor(
    private readonly keys: ApiKeyGuard,
    private readonly tokens: JwtGuard,
  ) {}

  canActivate(context: ExecutionContext): Promise<boolean> {
    const { headers } = context.switchToHttp().getRequest<TokenRequest>();
    return headers['x-api-key'] === undefined ? this.tokens.admit(context) : this.keys.canActivate(context);
  }
}
