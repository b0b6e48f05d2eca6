import { DomainError } from '../common/errors/domain.error.js';
import { API_KEY_NAME_IN_WORDS, MAX_OVERLAP_SECONDS } from './api-key-rules.js';
import { rateLimitHeaders, type RateLimitState } from './rate-limit.headers.js';
import { MAX_RATE_LIMIT, MIN_RATE_LIMIT } from './rate-limit-rules.js';

export class MissingApiKeyError extends DomainError {
  readonly kind = 'unauthenticated';

  constructor() {
    super('An API key is required in the x-api-key header');
  }
}

/** A request that may have its key in either of two header fields has no key, or more than one. */
export class NotOneApiKeyError extends DomainError {
  readonly kind = 'unauthenticated';

  constructor() {
    super('One API key is required, in the x-api-key header or as a bearer token in Authorization');
  }
}

/**
 * One message for malformed, unknown, expired and revoked keys and for keys of inactive users: the
 * exact reason would help only an attacker.
 */
export class InvalidApiKeyError extends DomainError {
  readonly kind = 'unauthenticated';

  constructor() {
    super('The API key is not valid');
  }
}

export class NotAdministratorError extends DomainError {
  readonly kind = 'forbidden';

  constructor() {
    super('Only administrators may do this');
  }
}

/**
 * The key lacks the scope of the route, or has scopes although the route needs a key without
 * scopes.
 */
export class InsufficientScopeError extends DomainError {
  readonly kind = 'forbidden';

  /** @param scope undefined if only a key without scopes is accepted */
  constructor(scope?: string) {
    super(
      scope === undefined
        ? 'This needs a key whose scopes are null'
        : `The key does not have the scope ${scope}, which this needs`,
    );
  }
}

export class InvalidRequiredScopesError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(
      'scopes must be at most 32 names of 1 to 64 characters a-z, 0-9, ".", "_", ":", "/" and "-"; those that begin with "ua:" must be scopes of this API',
    );
  }
}

/** The scope that a proxy requires for a route is not a valid scope name. */
export class InvalidRequiredScopeError extends DomainError {
  readonly kind = 'forbidden';

  constructor() {
    super('A scope that this requires is not the name of a scope');
  }
}

/** A key with scopes may not create, change or rotate a key that can do more or expires later. */
export class StrongerKeyError extends DomainError {
  readonly kind = 'forbidden';

  constructor() {
    super(
      'A key with scopes may create, change and rotate only keys whose scopes are among its own and that expire no later than itself',
    );
  }
}

export class RateLimitReservedError extends DomainError {
  readonly kind = 'forbidden';

  constructor() {
    super('Only administrators may set rate_limit_per_minute');
  }
}

/** A key may not create a key whose limit is higher than its own. */
export class HigherRateLimitError extends DomainError {
  readonly kind = 'forbidden';

  constructor() {
    super('A key may not create a key with a higher rate_limit_per_minute than its own');
  }
}

export class SupersededSecretError extends DomainError {
  readonly kind = 'forbidden';

  constructor() {
    super('A secret that a rotation has replaced may not create, change or rotate keys: use the new one');
  }
}

export class InvalidScopesError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(
      'scopes must be null or at most 32 names of 1 to 64 characters a-z, 0-9, ".", "_", ":", "/" and "-"; those that begin with "ua:" must be scopes of this API',
    );
  }
}

export class InvalidRateLimitError extends DomainError {
  readonly kind = 'invalid';

  /** @param of the kind of the limit */
  constructor(of: keyof typeof MIN_RATE_LIMIT) {
    super(
      `rate_limit_per_minute must be null or an integer from ${String(MIN_RATE_LIMIT[of])} to ${String(MAX_RATE_LIMIT)}`,
    );
  }
}

export class MissingScopesError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('scopes must be given: the key of this request has scopes itself');
  }
}

export class MalformedApiKeyError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('The secret does not have the shape and checksum of an API key');
  }
}

export class InvalidApiKeyNameError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(`name must be ${API_KEY_NAME_IN_WORDS}`);
  }
}

export class InvalidApiKeyExpiryError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('expires_at must be an instant, before the year 10000');
  }
}

export class InvalidOverlapError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(`overlap_seconds must be an integer from 0 to ${String(MAX_OVERLAP_SECONDS)}`);
  }
}

export class ApiKeyExpiryError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('expires_at must be in the future');
  }
}

export class InvalidInstantError extends DomainError {
  readonly kind = 'invalid';

  constructor(field: string) {
    super(`${field} must be an instant of the years 0000 to 9999`);
  }
}

export class ApiKeyOwnerNotFoundError extends DomainError {
  readonly kind = 'not_found';

  constructor(userId: unknown) {
    super(`User with ID ${typeof userId === 'string' ? userId : `(${typeof userId})`} not found`);
  }
}

export class ApiKeyNotFoundError extends DomainError {
  readonly kind = 'not_found';

  constructor() {
    super('There is no such API key');
  }
}

export class UnknownSecretError extends DomainError {
  readonly kind = 'not_found';

  constructor() {
    super('No API key has this secret. A rotation may have replaced it, and then it works no longer');
  }
}

export class ApiKeyNameTakenError extends DomainError {
  readonly kind = 'conflict';

  constructor(name: string) {
    super(`There is already an API key named ${name}`);
  }
}

export class ApiKeySecretTakenError extends DomainError {
  readonly kind = 'conflict';

  constructor() {
    super('There is already an API key that has this secret, or had it before a rotation');
  }
}

export class TooManyApiKeysError extends DomainError {
  readonly kind = 'conflict';

  constructor() {
    super('The user has 100 active API keys, which is the limit');
  }
}

export class ApiKeyNotActiveError extends DomainError {
  readonly kind = 'conflict';

  constructor(status: string) {
    super(`The API key is ${status}, which is final`);
  }
}

export class RateLimitedError extends DomainError {
  readonly kind = 'rate_limited';
  readonly headers: Readonly<Record<string, string>>;

  /** @param limits all that apply, among them the exceeded one */
  constructor(exceeded: RateLimitState, limits: readonly RateLimitState[] = [exceeded]) {
    const requests = `${String(exceeded.quota)} ${exceeded.quota === 1 ? 'request' : 'requests'} a minute`;
    super(
      {
        key: `The API key may make ${requests}`,
        user: `The API keys of this user may make ${requests} together`,
        address: 'Too many requests of this address failed to authenticate',
      }[exceeded.limit],
    );
    this.headers = { ...rateLimitHeaders(limits), 'Retry-After': String(exceeded.resetSeconds) };
  }
}
