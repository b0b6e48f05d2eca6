import { type CanActivate, type ExecutionContext, NotFoundException } from '@nestjs/common';
import type { Request } from 'express';

export interface PathParameter {
  /** The accepted texts. With any other text, the path is unknown (404). */
  readonly pattern: RegExp;
  readonly description: string;
  readonly example: string;
  /**
   * The schema for the document. Its pattern is also valid in other regular expression dialects.
   */
  readonly schema: { readonly pattern: string; readonly maxLength: number; readonly format?: string };
}

export type PathParameters = Readonly<Record<string, PathParameter>>;

/** The pattern of each path parameter. A name has one pattern in all routes. */
const patternOf = new Map<string, RegExp>();

/** Whether each path parameter matches the pattern of its name. */
export const paramsMatch = (params: Readonly<Record<string, unknown>>): boolean =>
  Object.entries(params).every(([name, value]) => patternOf.get(name)?.test(String(value)) ?? true);

/** Treats a path with a parameter that does not match as an unknown path (404). */
export class PathParametersGuard implements CanActivate {
  constructor(parameters: PathParameters) {
    for (const [name, { pattern }] of Object.entries(parameters)) {
      if ((patternOf.get(name) ?? pattern) !== pattern)
        throw new Error(`The path parameter ${name} has two patterns; choose another name for one of them`);
      patternOf.set(name, pattern);
    }
  }

  canActivate(context: ExecutionContext): boolean {
    if (!paramsMatch(context.switchToHttp().getRequest<Request>().params)) throw new NotFoundException();
    return true;
  }
}
