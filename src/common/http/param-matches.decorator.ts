import { type CanActivate, type ExecutionContext, NotFoundException, UseGuards } from '@nestjs/common';
import type { Request } from 'express';

/** By the name of the parameter. A name means the same in every path of ours. */
const patterns = new Map<string, RegExp>();

/** Whether each parameter of a path has the form that its routes ask for. */
export const paramsMatch = (params: Readonly<Record<string, unknown>>): boolean =>
  Object.entries(params).every(([name, value]) => patterns.get(name)?.test(String(value)) ?? true);

/**
 * Narrows the routes of a controller: a path whose parameter does not match is none of its routes, and is answered like
 * any other unknown path, before anyone asks for a key. Stands below the guards that it must run before.
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
