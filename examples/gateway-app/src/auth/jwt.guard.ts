import { type CanActivate, type ExecutionContext, Injectable, UnauthorizedException } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { JwtService } from '@nestjs/jwt';
import type { AuthenticatedRequest } from '@users-api/server';
import { IS_PUBLIC } from './public.decorator.js';

export interface Token {
  readonly sub: string;
}

/** The request of an HTTP route, with the token that a guard has found. */
export type TokenRequest = AuthenticatedRequest & { readonly headers: { readonly authorization?: string } } & {
  token?: Token;
};

/** A global guard: what is not public needs a token. */
@Injectable()
export class JwtGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly tokens: JwtService,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const parts = [context.getHandler(), context.getClass()];
    return this.reflector.getAllAndOverride<boolean>(IS_PUBLIC, parts) || this.admit(context);
  }

  /** @throws UnauthorizedException */
  async admit(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<TokenRequest>();
    const [, text = ''] = /^Bearer (\S+)$/.exec(request.headers?.authorization ?? '') ?? [];
    try {
      request.token = await this.tokens.verifyAsync<Token>(text);
      return true;
    } catch {
      throw new UnauthorizedException('JWT please');
    }
  }
}
