import { NotFoundException } from '@nestjs/common';
import type { Request } from 'express';
import { DomainError } from '../errors/domain.error.js';

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
  readonly route?: { readonly methods: Readonly<Record<string, boolean>> };
  match(path: string): boolean;
}

/**
 * Nest throws a `NotFoundException` when no handler took a request, and nobody else here does. Whether the path or only
 * the method is unknown (RFC 9110, section 15.5.6) is read off the routes that Express serves, so no list can go stale.
 */
export function describeRouteMiss(error: unknown, request: Request): unknown {
  if (!(error instanceof NotFoundException)) return error;
  if (!decodes(request.path)) return new UndecodableUrlError();
  const { stack } = request.app.router as unknown as { stack: readonly RouterLayer[] };
  const methods = new Set(
    stack
      .filter((layer) => layer.route && layer.match(request.path))
      .flatMap((layer) => Object.keys(layer.route?.methods ?? {})),
  );
  if (methods.size === 0) return new NoSuchRouteError();
  if (methods.has('get')) methods.add('head'); // Express answers HEAD from the GET handler
  return new MethodNotAllowedError([...methods].map((method) => method.toUpperCase()));
}

function decodes(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
