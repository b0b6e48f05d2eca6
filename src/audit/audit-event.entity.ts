import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { ActorCheck, ActorColumns } from '../audit-trail/actor-columns.js';
import { AUDIT_ACTIONS, type AuditAction } from '../audit-trail/with-audit.js';

/** One change of a user or a key. The database refuses to update or delete an event. */
@Entity('audit_events')
@Index('ix_audit_events_user_id_action_created_at', { synchronize: false }) // descending: not expressible in TypeORM, see the migration
@Index('ix_audit_events_action_newest', { synchronize: false })
@Index('ix_audit_events_actor_key_id', { synchronize: false })
@Index('ix_audit_events_actor_user_id', { synchronize: false })
@Index('ix_audit_events_api_key_id', { synchronize: false })
@Index('ix_audit_events_request_id', { synchronize: false })
@Check(
  'ck_audit_events_action',
  `action IN (${AUDIT_ACTIONS.map((action) => `'${action}'`).join()}) AND (user_id IS NOT NULL OR action IN ('users.imported', 'audit.archived'))`,
)
@ActorCheck('ck_audit_events_actor')
export class AuditEvent extends ActorColumns {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'pk_audit_events', default: () => 'time_ordered_uuid()' })
  readonly id!: string;

  /**
   * Taken after the lock was acquired, so that the events of a row are in the order of its changes.
   */
  @Column({ name: 'created_at', type: 'timestamptz', precision: 3, default: () => 'clock_timestamp()' })
  readonly createdAt!: Date;

  @Column({ type: 'varchar', length: 32 })
  readonly action!: AuditAction;

  /** The user that changed, or the owner of the key that changed; null for imports and archives. */
  @Column({ name: 'user_id', type: 'uuid', nullable: true })
  readonly userId!: string | null;

  @Column({ name: 'api_key_id', type: 'uuid', nullable: true })
  readonly apiKeyId!: string | null;

  @Column({ type: 'jsonb' })
  readonly changes!: Readonly<Record<string, { readonly before?: unknown; readonly after: unknown }>>;
}
