import { Check, Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';

/**
 * A secret that a rotation replaced. It may remain valid together with the new one for a while, and
 * is stored until the next rotation after that.
 */
@Entity('superseded_secrets')
@Check('ck_superseded_secrets_digest', `octet_length(digest) = 32`)
export class SupersededSecret {
  @PrimaryColumn({ type: 'bytea', primaryKeyConstraintName: 'pk_superseded_secrets' })
  readonly digest!: Buffer;

  @Index('ix_superseded_secrets_api_key_id')
  @ForeignKey('ApiKey', { name: 'fk_superseded_secrets_api_key_id', onDelete: 'RESTRICT' })
  @Column({ name: 'api_key_id', type: 'uuid' })
  readonly apiKeyId!: string;

  @Column({ name: 'superseded_at', type: 'timestamptz', precision: 3 })
  readonly supersededAt!: Date;

  /**
   * The first instant at which the secret no longer works, according to the database clock;
   * `-infinity` after a rotation without overlap.
   */
  @Column({ name: 'expires_at', type: 'timestamptz', precision: 3 })
  readonly expiresAt!: Date;
}
