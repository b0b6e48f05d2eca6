import { InvalidRequestError } from '../common/validation/request-validation.js';
import { EXAMPLE_USER_ID } from '../common/validation/uuid.js';
import { UserNotFoundError } from '../users/users.errors.js';
import { InvalidTransactionTypeError, TransactionIdTakenError } from './credits.errors.js';

/** Failures of requests that name a user and a transaction, as examples in the document. */
export const TRANSACTION_REFUSED = {
  amount: new InvalidRequestError('amount must not be less than 1'),
  transaction_type: new InvalidTransactionTypeError(),
  user: new UserNotFoundError({ id: EXAMPLE_USER_ID }),
  transaction: new TransactionIdTakenError(),
};
