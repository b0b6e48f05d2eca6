import { ConflictException, Controller, Get, Req, UseFilters, UseGuards } from '@nestjs/common';
import { Authenticated, CurrentUser, DomainErrorFilter, type Principal } from '@users-api/server';
import type { TokenRequest } from '../auth/jwt.guard.js';
import { KeyOrTokenGuard } from '../auth/key-or-token.guard.js';
import { Public } from '../auth/public.decorator.js';

@Controller({ path: 'reports', version: '1' })
export class ReportsController {
  /** For callers with a token, as the global guard says. */
  @Get('token')
  ofToken(@Req() { token }: TokenRequest): { caller: string | undefined } {
    return { caller: token?.sub };
  }

  @Public()
  @Authenticated()
  @Get('key')
  ofKey(@CurrentUser() { userId }: Principal): { caller: string } {
    return { caller: userId };
  }

  @Public()
  @UseGuards(KeyOrTokenGuard)
  @UseFilters(DomainErrorFilter)
  @Get('either')
  ofEither(@Req() { principal, token }: TokenRequest): { caller: string | undefined } {
    return { caller: principal?.userId ?? token?.sub };
  }

  @Public()
  @Authenticated()
  @Get('conflict')
  conflict(): never {
    throw new ConflictException('The report exists');
  }
}
