import { DomainError } from '../common/errors/domain.error.js';

/** A filter of the audit trail is not valid. */
export class InvalidAuditFilterError extends DomainError {
  readonly kind = 'invalid';
}

/**
 * Changes that users make to their own profile are not indexed by request. They are found by their
 * time, which a request id that the API generated contains, or by their user.
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
