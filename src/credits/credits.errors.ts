import { DomainError } from '../common/errors/domain.error.js';

export class InvalidAmountError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(`amount must be an integer from 1 to ${String(Number.MAX_SAFE_INTEGER)}`);
  }
}

export class InvalidTransactionIdError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('transaction_id must have 1 to 255 characters, and neither NUL nor lone surrogates');
  }
}

export class InvalidTransactionTypeError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('transaction_type must be 1 to 32 capital letters, digits and underscores, and begin with a letter');
  }
}

export class InvalidPeriodError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('start_date must be a date, such as 2026-01-31, and end_date must be one that is not before it');
  }
}

export class InvalidKeyIdError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('api_key_id must be a UUID');
  }
}

export class InsufficientCreditsError extends DomainError {
  readonly kind = 'payment_required';

  constructor() {
    super('The balance does not hold that many credits');
  }
}

export class BalanceLimitError extends DomainError {
  readonly kind = 'conflict';

  constructor() {
    super(`The balance cannot rise above ${String(Number.MAX_SAFE_INTEGER)}`);
  }
}

export class TransactionIdTakenError extends DomainError {
  readonly kind = 'conflict';

  constructor() {
    super('This transaction_id already stands for another transaction of the user');
  }
}
