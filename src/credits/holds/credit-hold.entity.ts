import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { ActorCheck, ActorColumns } from '../../audit-trail/actor-columns.js';
import { TRANSACTION_TYPE } from '../transaction-type.js';

export const HOLD_STATUSES = ['OPEN', 'CAPTURED', 'VOIDED', 'EXPIRED'] as const;
export type HoldStatus = (typeof HOLD_STATUSES)[number];

const integer = { from: Number, to: (value: number) => value };

/**
 * Credits of an account that nothing else may spend, until a capture takes them, or a void or the
 * expiry releases them. The database refuses to change a hold that has ended, and to delete one.
 */
@Entity('credit_holds')
@Unique('uq_credit_holds_user_id_transaction_id', ['userId', 'transactionId'])
@Index('ix_credit_holds_newest', { synchronize: false }) // descending: not expressible in TypeORM, see the migration
@Index('ix_credit_holds_ended', { synchronize: false }) // descending
@Index('ix_credit_holds_open', ['userId', 'expiresAt'], { where: `status = 'OPEN'` })
@Check('ck_credit_holds_amount', 'amount BETWEEN 1 AND 9007199254740991')
@Check('ck_credit_holds_status', `status IN ('OPEN', 'CAPTURED', 'VOIDED', 'EXPIRED')`)
@Check('ck_credit_holds_expires_at', 'expires_at > created_at')
@Check('ck_credit_holds_settled_at', `(settled_at IS NULL) = (status = 'OPEN')`)
@Check('ck_credit_holds_captured', `(captured IS NOT NULL) = (status = 'CAPTURED') AND captured BETWEEN 1 AND amount`)
@Check('ck_credit_holds_transaction_id', `transaction_id <> ''`)
@ActorCheck('ck_credit_holds_actor')
@Check('ck_credit_holds_transaction_type', `transaction_type COLLATE "C" ~ '${TRANSACTION_TYPE}'`)
export class CreditHold extends ActorColumns {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'pk_credit_holds', default: () => 'time_ordered_uuid()' })
  readonly id!: string;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3 })
  readonly createdAt!: Date;

  @ForeignKey('User', { name: 'fk_credit_holds_user_id', onDelete: 'RESTRICT' })
  @Column({ name: 'user_id', type: 'uuid' })
  readonly userId!: string;

  /** The credits that are held; an integer from 1. */
  @Column({ type: 'bigint', transformer: integer })
  readonly amount!: number;

  /** Reads return EXPIRED from `expires_at` on, even before the row is updated. */
  @Column({ type: 'varchar', length: 8, default: 'OPEN' })
  readonly status!: HoldStatus;

  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3 })
  readonly expiresAt!: Date;

  /** Null while the hold is OPEN; `expiresAt` if it has expired. */
  @Column({ name: 'settled_at', type: 'timestamptz', precision: 3, nullable: true })
  readonly settledAt!: Date | null;

  /** The credits that were taken; null unless the hold is CAPTURED. */
  @Column({ type: 'bigint', nullable: true, transformer: integer })
  readonly captured!: number | null;

  /** Chosen by the caller; entries and holds of a user share these ids. */
  @Column({ name: 'transaction_id', type: 'varchar', length: 255 })
  readonly transactionId!: string;

  /** The type of the entry that a capture creates. */
  @Column({ name: 'transaction_type', type: 'varchar', length: 32 })
  readonly transactionType!: string;

  /** The user's key for which the credits are held, if a verification of that key held them. */
  @Column({ name: 'api_key_id', type: 'uuid', nullable: true })
  readonly apiKeyId!: string | null;
}
