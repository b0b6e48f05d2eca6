import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { NAME_CHECK } from './user-name.js';

export const USER_STATUSES = ['ACTIVE', 'INACTIVE'] as const;
export type UserStatus = (typeof USER_STATUSES)[number];

@Entity('users')
@Index('uq_users_email', { synchronize: false }) // expression index: not expressible in TypeORM, see the migration
@Index('ix_users_status_newest', { synchronize: false }) // descending: not expressible in TypeORM
@Index('ix_users_administrators', { synchronize: false }) // descending
@Check('ck_users_name', NAME_CHECK)
@Check('ck_users_email', `email ~ '^[!-?A-~]+@[!-?A-~]+$'`)
@Check('ck_users_status', `status IN ('ACTIVE', 'INACTIVE')`)
@Check('ck_users_credits_balance', 'credits_balance BETWEEN 0 AND 9007199254740991')
@Check('ck_users_credits_held', 'credits_held BETWEEN 0 AND credits_balance')
@Check('ck_users_rate_limit_per_minute', 'rate_limit_per_minute >= 1')
export class User {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'pk_users', default: () => 'time_ordered_uuid()' })
  readonly id!: string;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'statement_timestamp()' })
  readonly createdAt!: Date;

  /** Increases with every change of the row, and never otherwise. */
  @Column({ name: 'updated_at', type: 'timestamptz', precision: 3, default: () => 'statement_timestamp()' })
  readonly updatedAt!: Date;

  /** The number of the row's version, from 1; text, because `pg` returns bigint as text. */
  @Column({ type: 'bigint', default: 1 })
  readonly version!: string;

  @Column({ type: 'varchar', length: 8, default: 'ACTIVE' })
  readonly status!: UserStatus;

  @Column({ name: 'is_admin', type: 'boolean', default: false })
  readonly isAdmin!: boolean;

  @Column({ type: 'varchar', length: 255 })
  readonly name!: string;

  /** Stored as given; unique without regard to case. */
  @Column({ type: 'varchar', length: 254 })
  readonly email!: string;

  /** Credits; an integer from 0 to 2^53−1. */
  @Column({
    name: 'credits_balance',
    type: 'bigint',
    default: 0,
    transformer: { from: Number, to: (credits: number) => credits },
  })
  readonly creditsBalance!: number;

  /**
   * Credits of open holds, including expired ones that are not released yet. No statement of
   * `UsersRepository` reads it: `CreditsService.balance` returns the held credits.
   */
  @Column({
    name: 'credits_held',
    type: 'bigint',
    default: 0,
    select: false,
    transformer: { from: Number, to: Number },
  })
  readonly creditsHeld?: number;

  /** The budget of all keys of the user together, from 1; null for none. */
  @Column({ name: 'rate_limit_per_minute', type: 'integer', nullable: true })
  readonly rateLimitPerMinute!: number | null;
}
