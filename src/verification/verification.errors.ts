import { DomainError } from '../common/errors/domain.error.js';

export class ChargeAndHoldError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('charge and hold exclude each other: send one of them');
  }
}
