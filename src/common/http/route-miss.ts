import { BadRequestException, NotFoundException } from '@nestjs/common';
import type { Request } from 'express';
import { DomainError } from '../errors/domain.error.js';
import { paramsMatch } from './path-parameters.guard.js';

export class NoSuchRouteError extends DomainError {
  readonly kind = 'not_found';

  constructor() {
    super('No such route');
  }
}

export class MethodNotAllowedError extends DomainError {
  readonly kind = 'method_not_allowed';
  readonly headers: Readonly<Record<string, string>>;

  constructor(allow: readonly string[]) {
    super(`This route takes only ${allow.join(', ')}`);
    this.headers = { Allow: allow.join(', ') };
  }
}

export class UndecodableUrlError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('The URL does not decode');
  }
}

interface RouterLayer {
  readonly route?: { readonly path: string; readonly methods: Readonly<Record<string, boolean>> };
  readonly params?: Params;
  /**
   * True from routers that keep the parameters in the layer; false where the path does not match.
   */
  match(path: string): boolean | { readonly params: Params };
}

type Params = Readonly<Record<string, unknown>>;

/**
 * Nest throws a `NotFoundException` when no handler accepts a request, and so does
 * `PathParametersGuard`. Whether the path or only the method is unknown (RFC 9110, section 15.5.6)
 * is read from the routes of Express, so no list can become outdated.
 */
export function describeRouteMiss(error: unknown, request: Request): unknown {
  const isMiss = error instanceof NotFoundException;
  // Express reports 400 where the path has parameters, and no route where it has none.
  if ((isMiss || error instanceof BadRequestException) && !decodes(request.path)) return new UndecodableUrlError();
  if (!isMiss) return error;
  const methods = methodsOf(request);
  if (methods.size === 0) return new NoSuchRouteError();
  return new MethodNotAllowedError([...methods].map((method) => method.toUpperCase()));
}

/**
 * The methods of the first matching path; empty if they include the request's: then its handler
 * found nothing.
 */
function methodsOf({ app, path, method }: Request): Set<string> {
  const { stack } = app.router as unknown as { stack: readonly RouterLayer[] };
  const routes = stack.flatMap((layer) => {
    const match = layer.match(path);
    const { params = {} } = match === true ? layer : match || {};
    return match && layer.route && paramsMatch(params) ? layer.route : [];
  });
  const methods = new Set(
    routes.filter((route) => route.path === routes[0]?.path).flatMap((route) => Object.keys(route.methods)),
  );
  if (methods.has('get')) methods.add('head'); // Express answers HEAD from the GET handler
  return methods.has(method.toLowerCase()) ? new Set() : methods;
}

function decodes(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
