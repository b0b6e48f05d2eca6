import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { ActorCheck, ActorColumns } from '../audit-trail/actor-columns.js';
import { TRANSACTION_TYPE } from './transaction-type.js';

const integer = { from: Number, to: (value: number) => value };

/** One movement of a balance. The database refuses to change or delete an entry. */
@Entity('credit_entries')
@Unique('uq_credit_entries_user_id_transaction_id', ['userId', 'transactionId'])
@Index('ix_credit_entries_newest', { synchronize: false }) // descending: not expressible in TypeORM, see the migration
@Index('ix_credit_entries_api_key', { synchronize: false }) // the same
@Index('ix_credit_entries_type', { synchronize: false })
@Check('ck_credit_entries_credits', 'credits <> 0 AND credits BETWEEN -9007199254740991 AND 9007199254740991')
@Check('ck_credit_entries_balance_after', 'balance_after BETWEEN 0 AND 9007199254740991')
@Check('ck_credit_entries_transaction_id', `transaction_id <> ''`)
@ActorCheck('ck_credit_entries_actor')
@Check('ck_credit_entries_transaction_type', `transaction_type COLLATE "C" ~ '${TRANSACTION_TYPE}'`)
export class CreditEntry extends ActorColumns {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'pk_credit_entries', default: () => 'time_ordered_uuid()' })
  readonly id!: string;

  /**
   * The `updated_at` of the user after the movement. Entries of one statement share it, and their
   * ids increase in their order: (created_at, id) is the order in which a user's balance moved.
   */
  @Column({ name: 'created_at', type: 'timestamptz', precision: 3 })
  readonly createdAt!: Date;

  @ForeignKey('User', { name: 'fk_credit_entries_user_id', onDelete: 'RESTRICT' })
  @Column({ name: 'user_id', type: 'uuid' })
  readonly userId!: string;

  /** Added to the balance; negative if credits were spent. */
  @Column({ type: 'bigint', transformer: integer })
  readonly credits!: number;

  @Column({ name: 'balance_after', type: 'bigint', transformer: integer })
  readonly balanceAfter!: number;

  /** Chosen by the caller, unique per user: it identifies a repeated request. */
  @Column({ name: 'transaction_id', type: 'varchar', length: 255 })
  readonly transactionId!: string;

  @Column({ name: 'transaction_type', type: 'varchar', length: 32 })
  readonly transactionType!: string;

  /** The user's key for which credits were spent, if a verification of that key spent them. */
  @Column({ name: 'api_key_id', type: 'uuid', nullable: true })
  readonly apiKeyId!: string | null;
}
