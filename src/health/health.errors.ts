import { DomainError } from '../common/errors/domain.error.js';

export class StoppingError extends DomainError {
  readonly kind = 'unavailable';

  constructor() {
    super('The service is stopping');
  }
}

export class ReadOnlyDatabaseError extends DomainError {
  readonly kind = 'unavailable';

  constructor() {
    super('The database takes no writes');
  }
}
