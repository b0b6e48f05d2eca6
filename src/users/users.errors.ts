import { DomainError } from '../common/errors/domain.error.js';

export class UserNotFoundError extends DomainError {
  readonly kind = 'not_found';

  constructor(wanted: { readonly id: unknown } | { readonly email: string }) {
    super(
      'id' in wanted
        ? `User with ID ${idFor(wanted.id)} not found`
        : `User with e-mail address ${wanted.email} not found`,
    );
  }
}

/** Converts an id for a message: not every value can be converted to text. */
const idFor = (id: unknown): string => (typeof id === 'string' ? id : `(${typeof id})`);

export class InvalidUserNameError extends DomainError {
  readonly kind = 'invalid';
}

export class InvalidEmailError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('email must be an e-mail address');
  }
}

export class InvalidKeyPrefixError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('api_key_prefix must be the first characters of a key: its prefix, up to the last _, and five more');
  }
}

export class InvalidSearchError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('search must have 3 to 255 characters, and no control characters');
  }
}

/** The database has no index for `search`. */
export class SearchUnavailableError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(
      'search needs an index that the database lacks: its operator makes it with CREATE EXTENSION pg_trgm; ' +
        'CREATE INDEX CONCURRENTLY ix_user_search_texts_text ON user_search_texts USING gin (text gin_trgm_ops) WITH (fastupdate = off)',
    );
  }
}

/**
 * `created_after` or `created_before` is not an instant, or `created_after` is not the earlier one.
 */
export class InvalidCreationPeriodError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('created_after and created_before must be instants, and created_before must be the later one');
  }
}

export class InvalidUserRoleError extends DomainError {
  readonly kind = 'invalid';

  /** @param field as the caller spells it */
  constructor(field = 'isAdmin') {
    super(`${field} must be true or false`);
  }
}

export class InvalidUserStatusError extends DomainError {
  readonly kind = 'invalid';

  constructor(statuses: readonly string[]) {
    super(`status must be one of ${statuses.join(', ')}`);
  }
}

export class InvalidVersionsError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('The versions of a user must be a list of integers from 1, as text');
  }
}

export class EmailTakenError extends DomainError {
  readonly kind = 'conflict';

  constructor() {
    super('There is already a user with this e-mail address');
  }
}

export class UserChangedError extends DomainError {
  readonly kind = 'precondition_failed';

  constructor() {
    super('The user has changed since the version that If-Match names');
  }
}

export class UserMatchesError extends DomainError {
  readonly kind = 'precondition_failed';

  constructor() {
    super('The user has a version that If-None-Match excludes');
  }
}

export class LastAdministratorError extends DomainError {
  readonly kind = 'conflict';

  constructor() {
    super('The last active administrator cannot be deactivated, demoted or erased');
  }
}
