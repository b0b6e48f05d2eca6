import { DomainError } from '../common/errors/domain.error.js';

/** A filter of the audit trail is not one that any event could match. */
export class InvalidAuditFilterError extends DomainError {
  readonly kind = 'invalid';
}

/**
 * An event of a change that users make to their own profile has no index for its request. It is
 * found by its time, which the id of the request tells if the API has made that id, or by its user.
 */
export class RequestTimeUnknownError extends DomainError {
  readonly kind = 'invalid';

  constructor() {
    super(
      'request_id was chosen by the caller and does not tell its time: add user_id, actor_user_id or actor_key_id, ' +
        'or a start_date and an end_date that are at most one day apart',
    );
  }
}
