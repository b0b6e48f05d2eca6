import type { EntityManager } from 'typeorm';
import type { Actor } from './actor.js';

export interface AuditOptions {
  /** The originator of the change, for the audit trail; by default `APPLICATION`. */
  readonly by?: Actor | undefined;
}

export interface TransactionOptions {
  /** The transaction that the call joins; by default it has its own. */
  readonly manager?: EntityManager | undefined;
}

export interface ChangeOptions extends AuditOptions, TransactionOptions {}
