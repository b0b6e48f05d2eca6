import { type CanActivate, type ExecutionContext, NotFoundException, UseGuards } from '@nestjs/common';
import type { Request } from 'express';

/**
 * Narrows the routes of a controller: a path whose parameter does not match is none of its routes, and is answered like
 * any other unknown path, before anyone asks for a key. Stands below the guards that it must run before.
 */
export const ParamMatches = (name: string, pattern: RegExp): ClassDecorator & MethodDecorator =>
  UseGuards({
    canActivate(context: ExecutionContext): boolean {
      const value = context.switchToHttp().getRequest<Request>().params[name];
      if (value !== undefined && !pattern.test(String(value))) throw new NotFoundException();
      return true;
    },
  } satisfies CanActivate);

export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
