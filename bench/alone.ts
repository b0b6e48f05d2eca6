/*
 * Loaded before the application (`--import`): every request to the database is a separate
 * statement, without batches.
 */
import { type BatchHandlers, StatementBatcher } from '../src/database/statement-batcher.js';

StatementBatcher.prototype.run = function (
  this: { readonly handlers: BatchHandlers<unknown, unknown> },
  request: unknown,
) {
  return this.handlers.runOne(request);
} as typeof StatementBatcher.prototype.run;
