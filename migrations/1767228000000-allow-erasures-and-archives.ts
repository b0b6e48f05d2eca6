import type { MigrationInterface, QueryRunner } from 'typeorm';

const ACTIONS = [
  'user.created',
  'user.updated',
  'api_key.created',
  'api_key.updated',
  'api_key.rotated',
  'api_key.revoked',
  'user.created_by_import',
  'users.imported',
];

const listOf = (actions: readonly string[]): string => actions.map((action) => `'${action}'`).join(', ');

/** Replaces the constraint without reading stored events, so the table is locked only briefly. */
const replacement = (actions: readonly string[], ofNoUser: readonly string[]): string => `ALTER TABLE audit_events
  DROP CONSTRAINT ck_audit_events_action,
  ADD CONSTRAINT ck_audit_events_action
    CHECK (action IN (${listOf(actions)}) AND (user_id IS NOT NULL OR action IN (${listOf(ofNoUser)}))) NOT VALID`;

/**
 * Allows the event of an erased user, and that of an archive of events, which belongs to no single
 * user.
 */
export class AllowErasuresAndArchives1767228000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(
      replacement([...ACTIONS, 'user.erased', 'audit.archived'], ['users.imported', 'audit.archived']),
    );
  }

  /**
   * Events are never changed, so those of the two actions stay; only new events are then refused.
   */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`SET LOCAL lock_timeout = '5s'`);
    await runner.query(replacement(ACTIONS, ['users.imported']));
  }
}
