import { DatabaseFailureError } from '../common/errors/database-unavailable.js';
import { DomainError } from '../common/errors/domain.error.js';

export class StoppingError extends DomainError {
  readonly kind = 'unavailable';

  constructor() {
    super('The service is stopping');
  }
}

export class ReadOnlyDatabaseError extends DatabaseFailureError {
  readonly failure = 'read_only';

  constructor() {
    super('The database takes no writes');
  }
}
