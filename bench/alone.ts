/*
 * Loaded before the application (`--import`): every question to the database is a statement of its own, as if there were no
 * batches.
 */
import { Batch, type Questions } from '../src/database/batch.js';

Batch.prototype.ask = function (this: { readonly questions: Questions<unknown, unknown> }, question: unknown) {
  return this.questions.alone(question);
} as typeof Batch.prototype.ask;
