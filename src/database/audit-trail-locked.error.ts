import { OperatorError } from '../common/errors/operator.error.js';

/** Another transaction has written an audit event and is still open. */
export class AuditTrailLockedError extends OperatorError {
  constructor() {
    super(
      'Another transaction has held its lock on audit_events for 5 s, so the command could not continue. Find the transaction in pg_stat_activity, and run the command again.',
    );
  }
}
