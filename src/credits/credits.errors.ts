import { DomainError } from '../common/errors/domain.error.js';
import { HOLD_STATUSES, type HoldStatus } from './holds/credit-hold.entity.js';
import { MAX_HOLD_SECONDS } from './holds/hold-rules.js';

export { InvalidPeriodError } from '../common/validation/period.js';

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

export class InvalidKeyIdError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super('api_key_id must be a UUID');
  }
}

export class InsufficientCreditsError extends DomainError {
  readonly kind = 'payment_required';

  constructor() {
    super('Not enough credits are available');
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
    super('This transaction_id already stands for another transaction of the user, or for a hold that has ended');
  }
}

export class InvalidHoldDurationError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(`expires_in_seconds must be an integer from 1 to ${String(MAX_HOLD_SECONDS)}`);
  }
}

export class InvalidHoldStatusError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(`status must be one of ${HOLD_STATUSES.join(', ')}`);
  }
}

export class HoldNotFoundError extends DomainError {
  readonly kind = 'not_found';

  constructor() {
    super('No such hold exists');
  }
}

export class HoldEndedError extends DomainError {
  readonly kind = 'conflict';

  constructor(status: Exclude<HoldStatus, 'OPEN'>) {
    super(`The hold is ${status}`);
  }
}

export class CaptureAboveHoldError extends DomainError {
  readonly kind = 'conflict';

  constructor(amount: number) {
    super(`The hold has ${String(amount)} credits: capture no more, and charge the rest by a transaction of its own`);
  }
}
