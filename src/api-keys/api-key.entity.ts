import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import { MAX_VISIBLE_LENGTH, VISIBLE_PART } from '../common/api-key-format.js';
import { API_KEY_NAME_CHECK } from './api-key-rules.js';

@Entity('api_keys')
@Unique('uq_api_keys_digest', ['secretDigest'])
@Unique('uq_api_keys_user_id_name', ['userId', 'name'])
@Index('ix_api_keys_newest', { synchronize: false }) // descending: not expressible in TypeORM, see the migration
@Check('ck_api_keys_name', API_KEY_NAME_CHECK)
@Check('ck_api_keys_prefix', `prefix ~ '${VISIBLE_PART}'`)
@Check('ck_api_keys_digest', `octet_length(secret_digest) = 32`)
@Check('ck_api_keys_scopes', 'is_scope_list(scopes)')
@Check('ck_api_keys_rate_limit_per_minute', 'rate_limit_per_minute >= 0')
export class ApiKey {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'pk_api_keys', default: () => 'time_ordered_uuid()' })
  readonly id!: string;

  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'statement_timestamp()' })
  readonly createdAt!: Date;

  /** May lag by a minute. */
  @Column({ name: 'last_used_at', type: 'timestamptz', precision: 3, nullable: true })
  readonly lastUsedAt!: Date | null;

  /** The first instant at which the key no longer works, according to the database clock. */
  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3 })
  readonly expiresAt!: Date;

  @Column({ name: 'revoked_at', type: 'timestamptz', precision: 3, nullable: true })
  readonly revokedAt!: Date | null;

  @ForeignKey('User', { name: 'fk_api_keys_user_id', onDelete: 'RESTRICT' })
  @Column({ name: 'user_id', type: 'uuid' })
  readonly userId!: string;

  @Column({ type: 'varchar', length: 255 })
  readonly name!: string;

  /** The first characters of the secret, so that its owner can recognize the key. */
  @Index('ix_api_keys_prefix')
  @Column({ type: 'varchar', length: MAX_VISIBLE_LENGTH })
  readonly prefix!: string;

  /** SHA-256 of the whole key. The key itself is not stored. */
  @Column({ name: 'secret_digest', type: 'bytea' })
  readonly secretDigest!: Buffer;

  /** Sorted by their bytes, without duplicates; null for everything that the owner may do. */
  @Column({ type: 'text', array: true, nullable: true })
  readonly scopes!: string[] | null;

  /**
   * The budget of this key alone: 0 for none; null for the default, or for none if the user has a
   * budget.
   */
  @Column({ name: 'rate_limit_per_minute', type: 'integer', nullable: true })
  readonly rateLimitPerMinute!: number | null;
}
