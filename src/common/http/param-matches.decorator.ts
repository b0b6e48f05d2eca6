import { type CanActivate, type ExecutionContext, NotFoundException, UseGuards } from '@nestjs/common';
import type { Request } from 'express';

/** Global registry: a parameter name has one pattern in all routes. */
const patterns = new Map<string, RegExp>();

/** Whether each path parameter matches the pattern of its name. */
export const paramsMatch = (params: Readonly<Record<string, unknown>>): boolean =>
  Object.entries(params).every(([name, value]) => patterns.get(name)?.test(String(value)) ?? true);

/**
 * Restricts the routes of a controller: a path whose parameter does not match is an unknown path (404), before the key is
 * checked. Place it below the guards that it must run before.
 */
export function ParamMatches(name: string, pattern: RegExp): ClassDecorator & MethodDecorator {
  patterns.set(name, pattern);
  return UseGuards({
    canActivate(context: ExecutionContext): boolean {
      if (!paramsMatch(context.switchToHttp().getRequest<Request>().params)) throw new NotFoundException();
      return true;
    },
  } satisfies CanActivate);
}
