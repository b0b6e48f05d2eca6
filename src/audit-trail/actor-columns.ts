import sql, { raw, type Sql } from 'sql-template-tag';
import { Check, Column } from 'typeorm';
import { ACTOR_TYPES, type Actor, checkActor } from './actor.js';

/** The columns of the originator of a change, in every table that records one. */
export abstract class ActorColumns {
  @Column({ type: 'varchar', length: 12 })
  readonly actor!: Actor['type'];

  @Column({ name: 'actor_user_id', type: 'uuid', nullable: true })
  readonly actorUserId!: string | null;

  @Column({ name: 'actor_key_id', type: 'uuid', nullable: true })
  readonly actorKeyId!: string | null;

  @Column({ name: 'request_id', type: 'varchar', length: 128, nullable: true })
  readonly requestId!: string | null;

  /** The operating system account that ran the command, if a command made the change. */
  @Column({ name: 'actor_account', type: 'varchar', length: 128, nullable: true })
  readonly actorAccount!: string | null;
}

/** The constraint of the column `actor`. */
export const ActorCheck = (name: string): ClassDecorator =>
  Check(name, `actor IN (${ACTOR_TYPES.map((type) => `'${type}'`).join(', ')})`);

/** The columns by their properties. */
export const ACTOR_COLUMNS = {
  actor: 'actor',
  actorUserId: 'actor_user_id',
  actorKeyId: 'actor_key_id',
  requestId: 'request_id',
  actorAccount: 'actor_account',
} as const satisfies Record<keyof ActorColumns, string>;

/** The names of the columns in a statement. */
export const actorColumnNames = raw(Object.values(ACTOR_COLUMNS).join(', '));

/**
 * The actor of a change as SQL values, in the order of the columns.
 *
 * @throws InvalidActorError
 */
export function actorValues(actor: Actor): Sql {
  checkActor(actor);
  const { type, userId, keyId, requestId, account } = actor;
  return sql`${type}, ${userId}::uuid, ${keyId}::uuid, ${requestId}, ${account ?? null}`;
}

/** The actor of each change of a batch, as columns of `Rows`. */
export const actorRows = <Row>(
  actorOf: (row: Row) => Actor,
): Readonly<Record<string, readonly [type: string, value: (row: Row) => unknown]>> => ({
  [ACTOR_COLUMNS.actor]: ['text', (row) => actorOf(row).type],
  [ACTOR_COLUMNS.actorUserId]: ['uuid', (row) => actorOf(row).userId],
  [ACTOR_COLUMNS.actorKeyId]: ['uuid', (row) => actorOf(row).keyId],
  [ACTOR_COLUMNS.requestId]: ['text', (row) => actorOf(row).requestId],
  [ACTOR_COLUMNS.actorAccount]: ['text', (row) => actorOf(row).account ?? null],
});
