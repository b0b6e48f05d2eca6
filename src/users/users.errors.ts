import { DomainError } from '../common/errors/domain.error.js';

export class UserNotFoundError extends DomainError {
  readonly kind = 'not_found';

  constructor(wanted: { readonly id: string } | { readonly email: string }) {
    super(
      'id' in wanted ? `User with ID ${wanted.id} not found` : `User with e-mail address ${wanted.email} not found`,
    );
  }
}

export class InvalidUserNameError extends DomainError {
  readonly kind = 'invalid';
}

export class InvalidEmailError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('email must be an e-mail address');
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

export class LastAdministratorError extends DomainError {
  readonly kind = 'conflict';

  constructor() {
    super('The last active administrator cannot be deactivated');
  }
}
