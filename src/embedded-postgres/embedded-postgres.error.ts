import { OperatorError } from '../common/errors/operator.error.js';

/** The embedded PostgreSQL server cannot be used. */
export class EmbeddedPostgresError extends OperatorError {}
