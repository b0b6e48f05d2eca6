import { All, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import { InsufficientScopeError, InvalidRequiredScopeError } from '../api-keys/api-keys.errors.js';
import { CurrentUser } from '../api-keys/authenticated.decorator.js';
import { ApiController, Operation } from '../api-keys/operation.decorator.js';
import type { Principal } from '../api-keys/principal.js';
import { isScope, mayUse, type Scopes } from '../api-keys/scopes.js';
import { ApiTag } from '../common/docs/tags.js';
import { ApiRequiredScopes, requiredScopes } from './required-scopes.js';

/**
 * The identity that a proxy forwards. A value is never empty: proxies treat an empty value as no
 * header.
 */
const IDENTITY = {
  'X-User-Id': 'The owner of the key',
  'X-Api-Key-Id': 'The key',
  'X-Api-Key-Name': 'The name of the key',
  'X-Api-Key-Scopes': 'The scopes of the key with blanks between them; `*` for null, `-` for none',
} as const;

@ApiTag('Verification')
@ApiController('forward-auth')
export class ForwardAuthController {
  @All()
  @ApiRequiredScopes()
  @Operation({
    id: 'forwardAuth',
    summary: 'Authenticate a request that a reverse proxy forwards',
    details:
      'For `auth_request` of nginx, `forward_auth` of Caddy, `forwardAuth` of Traefik and `ext_authz` of Envoy: docs/gateways.md has their configurations. Every method is accepted, and neither the body nor a condition is read.\n\nThe key is in `x-api-key` or, as a bearer token, in `Authorization`; with both the response is 401. The key must have every scope that a `scope` parameter or an `X-Required-Scope` header names; a value that is not the name of a scope is 403. Other parameters are ignored, so the proxy may append the URL of its caller: more scopes can only refuse more.\n\n200 has no body and all four headers, which the proxy sets on the request to its backend, in place of what its caller sent. Nothing is ever charged, because proxies repeat requests.',
    access: 'forwarded',
    scope: null,
    acceptsAnyMethod: true,
    description: 'The key may do it',
    headers: IDENTITY,
    fails: ['forbidden'],
    examples: { scope: new InsufficientScopeError('jobs:write'), required_scope: new InvalidRequiredScopeError() },
  })
  authenticate(@CurrentUser() caller: Principal, @Req() request: Request, @Res() response: Response): void {
    for (const scope of requiredScopes(request)) {
      if (!isScope(scope)) throw new InvalidRequiredScopeError();
      if (!mayUse(caller, scope)) throw new InsufficientScopeError(scope);
    }
    response.set({
      'X-User-Id': caller.userId,
      'X-Api-Key-Id': caller.keyId,
      'X-Api-Key-Name': caller.keyName,
      'X-Api-Key-Scopes': listed(caller.scopes),
    } satisfies Record<keyof typeof IDENTITY, string>);
    response.end(); // `send` of Express would evaluate the conditions of the request
  }
}

const listed = (scopes: Scopes): string => {
  if (scopes === null) return '*';
  return scopes.length === 0 ? '-' : scopes.join(' ');
};
