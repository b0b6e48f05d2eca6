import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Actor } from '../common/audit/actor.js';
import { actorParameters, changed, created, recorded } from '../common/audit/recording.js';
import { Batch } from '../database/batch.js';
import { retryingConflicts } from '../database/retry.js';
import { firstOf, IncompleteResultError, Statement, unseen } from '../database/statement.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { Turns } from '../database/turns.js';

export type ApiKeyStatus = 'ACTIVE' | 'EXPIRED' | 'REVOKED';

/** A key as its owner may see it, with its status at the instant of the statement, by the database's clock. */
export interface KeyView {
  readonly id: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly expiresAt: Date;
  readonly status: ApiKeyStatus;
  readonly name: string;
  readonly prefix: string;
}

export interface NewApiKey {
  readonly userId: string;
  readonly name: string;
  readonly expiresAt: Date;
  readonly prefix: string;
  readonly digest: Buffer;
}

export interface ApiKeyChanges {
  readonly name?: string | undefined;
  readonly expiresAt?: Date | undefined;
}

export interface Rotation {
  readonly expiresAt: Date;
  readonly overlapSeconds: number;
  readonly prefix: string;
  readonly digest: Buffer;
}

/** Why a secret does not work. `superseded`: a rotation has replaced it, and its overlap is over; without overlap it is `unknown`. */
export type SecretRefusal = 'unknown' | 'revoked' | 'expired' | 'superseded' | 'user_inactive';

/** A secret that works, and whose. */
export interface LiveSecret {
  readonly digest: Buffer;
  readonly keyId: string;
  readonly userId: string;
  readonly isAdmin: boolean;
  /** Set while the secret is one that a rotation replaced. */
  readonly supersededAt: Date | null;
  readonly supersededUntil: Date | null;
}

/** The key that a secret belongs to, whatever became of the two. */
export interface SecretOwner extends KeyView {
  readonly userId: string;
  /** Whether a rotation has replaced the secret and its overlap is over, so that it works no longer although its key may. */
  readonly isSuperseded: boolean;
}

/** What a look-up returns for each digest that was asked for. */
type SecretRow =
  (LiveSecret & { readonly refusal: null }) | { readonly refusal: SecretRefusal; readonly digest: Buffer };

/** The columns of a `KeyView`, of the table or alias that stands before each. */
const view = (k: string): string => `${k}.id, ${k}.created_at AS "createdAt", ${k}.last_used_at AS "lastUsedAt",
  ${k}.expires_at AS "expiresAt", ${k}.name, ${k}.prefix,
  CASE WHEN ${k}.revoked_at IS NOT NULL THEN 'REVOKED'
       WHEN ${k}.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status`;

export const VIEW = view('api_keys');

/**
 * The key of a user's by its name, with both rows locked: the owner's too, because a creation that counts active keys takes
 * that lock and must see an expiry that moves.
 */
const locked = (columns: string): string =>
  `SELECT ${columns
    .split(', ')
    .map((column) => `k.${column}`)
    .join(', ')} FROM users u JOIN api_keys k ON k.user_id = u.id
    WHERE u.id = $1 AND k.name = $2 FOR NO KEY UPDATE OF u FOR UPDATE OF k`;

const instant = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Of no user. */
const NOBODY = `'00000000-0000-0000-0000-000000000000'`;

/**
 * One row for each digest, whatever became of it, and a user looked for even where there is no key: the time of a refusal must not
 * tell its reason, so a refused secret that exists returns no more than one that does not. `LIMIT 1` bids the planner look
 * each of them up by an index rather than join whole tables.
 */
const FIND_SECRETS = new Statement<SecretRow>(
  'find_secrets',
  `SELECT coalesce(s.digest, k.digest, asked.digest) AS digest, refusal,
          CASE WHEN refusal IS NULL THEN k.id END AS "keyId",
          CASE WHEN refusal IS NULL THEN k.user_id END AS "userId",
          CASE WHEN refusal IS NULL THEN u.is_admin END AS "isAdmin",
          CASE WHEN refusal IS NULL THEN s.superseded_at END AS "supersededAt",
          CASE WHEN refusal IS NULL AND s.digest IS NOT NULL THEN least(s.expires_at, k.expires_at) END AS "supersededUntil"
     FROM unnest(${unseen(1, 'bytea')}) AS asked (digest)
     LEFT JOIN LATERAL (SELECT * FROM superseded_secrets WHERE digest = asked.digest LIMIT 1) AS s ON true
     LEFT JOIN LATERAL (SELECT * FROM api_keys WHERE digest = asked.digest
                        UNION ALL SELECT * FROM api_keys WHERE id = s.api_key_id LIMIT 1) AS k ON true
     LEFT JOIN LATERAL (SELECT * FROM users WHERE id = coalesce(k.user_id, ${NOBODY}) LIMIT 1) AS u ON true
     CROSS JOIN LATERAL (SELECT CASE WHEN k.id IS NULL THEN 'unknown'
                                     WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                                     WHEN k.expires_at <= statement_timestamp() THEN 'expired'
                                     WHEN s.expires_at <= statement_timestamp() THEN 'superseded'
                                     WHEN u.status = 'ACTIVE' THEN NULL ELSE 'user_inactive' END AS refusal) AS judged`,
);

@Injectable()
export class ApiKeysRepository {
  private readonly secrets: Batch<Buffer, LiveSecret | SecretRefusal>;
  private readonly turns = new Turns();

  constructor(@InjectDatabase() private readonly database: DataSource) {
    const findAll = async (digests: readonly Buffer[]): Promise<(LiveSecret | SecretRefusal)[]> => {
      const found = await FIND_SECRETS.run(this.database, [digests]);
      const byDigest = new Map(found.map((row) => [row.digest.toString('latin1'), row.refusal ?? row]));
      return digests.map((digest) => {
        const secret = byDigest.get(digest.toString('latin1'));
        if (secret === undefined || found.length !== digests.length) throw new IncompleteResultError();
        return secret;
      });
    };
    this.secrets = new Batch({ together: findAll, alone: async (digest) => firstOf(await findAll([digest])) });
  }

  /**
   * The secret with this digest, if it and its key and its owner are all live at this instant of the database's clock, or
   * else why it does not work: one statement for all of it, so there is no moment in between and no cached answer that
   * outlives a revocation. Look-ups of the same moment share the statement.
   *
   * @throws IncompleteResultError when the database does not say either
   */
  find(digest: Buffer): Promise<LiveSecret | SecretRefusal> {
    return this.secrets.ask(digest);
  }

  /** For those who may learn which key a dead secret belonged to: administrators and operators, never a caller who presents it. */
  async findBySecret(digest: Buffer): Promise<SecretOwner | null> {
    const [row] = await this.database.query<SecretOwner[]>(
      `SELECT ${view('k')}, k.user_id AS "userId", owner."isSuperseded"
         FROM (SELECT id, false FROM api_keys WHERE digest = $1
               UNION ALL
               SELECT api_key_id, expires_at <= statement_timestamp() FROM superseded_secrets WHERE digest = $1)
              AS owner (id, "isSuperseded")
         JOIN api_keys k ON k.id = owner.id`,
      [digest],
    );
    return row ?? null;
  }

  async findByName(userId: string, name: string): Promise<KeyView | null> {
    return this.one(`SELECT ${VIEW} FROM api_keys WHERE user_id = $1 AND name = $2`, [userId, name]);
  }

  async findById(userId: string, id: string): Promise<KeyView | null> {
    return this.one(`SELECT ${VIEW} FROM api_keys WHERE user_id = $1 AND id = $2`, [userId, id]);
  }

  /** Whether an instant has come, by the database's clock. */
  async hasPassed(instant: Date, manager: EntityManager = this.database.manager): Promise<boolean> {
    const [row] = await manager.query<{ passed: boolean }[]>('SELECT $1::timestamptz <= clock_timestamp() AS passed', [
      instant,
    ]);
    return row?.passed === true;
  }

  /**
   * @param manager joins the caller's transaction
   * @returns the key as stored, or null when `expiresAt` has passed by the database's clock
   */
  async insert(key: NewApiKey, actor: Actor, manager?: EntityManager): Promise<KeyView | null> {
    const inserting = `INSERT INTO api_keys (user_id, name, expires_at, prefix, digest)
      SELECT $1, $2, $3, $4, $5 WHERE $3::timestamptz > statement_timestamp()
      RETURNING ${VIEW}, user_id AS audit_user_id, id AS audit_api_key_id,
        ${created({ name: 'name', expires_at: instant('expires_at'), prefix: 'prefix' })} AS audit_changes`;
    const { userId, name, expiresAt, prefix, digest } = key;
    const sql = recorded('api_key.created', inserting, 6);
    const parameters = [userId, name, expiresAt, prefix, digest, ...actorParameters(actor)];
    return manager ? this.one(sql, parameters, manager) : this.inTurn(userId, () => this.one(sql, parameters));
  }

  /**
   * Changes the given fields of a key. `expiresAt` moves only while the key is active, and only into the future.
   *
   * @returns the key as stored, or null when there is no such key or it does not let itself be changed so
   */
  async patch(
    userId: string,
    name: string,
    { name: newName, expiresAt }: ApiKeyChanges,
    actor: Actor,
  ): Promise<KeyView | null> {
    const updating = `UPDATE api_keys k SET name = coalesce($3, k.name), expires_at = coalesce($4, k.expires_at)
      FROM (${locked('id, name, expires_at')}) AS old
      WHERE k.id = old.id AND ($4::timestamptz IS NULL OR
        ($4 > clock_timestamp() AND k.expires_at > clock_timestamp() AND k.revoked_at IS NULL))
      RETURNING ${view('k')}, k.user_id AS audit_user_id, k.id AS audit_api_key_id,
        ${changed({ name: ['old.name', 'k.name'], expires_at: [instant('old.expires_at'), instant('k.expires_at')] })} AS audit_changes`;
    const parameters = [userId, name, newName, expiresAt, ...actorParameters(actor)];
    return this.inTurn(userId, () => this.one(recorded('api_key.updated', updating, 5), parameters));
  }

  /**
   * Revokes a key for good. Safe to repeat: the first revocation stands.
   *
   * @param by the column that names the key; a name may pass to another key at any moment, an id never does
   */
  async revoke(userId: string, by: 'id' | 'name', value: string, actor: Actor): Promise<KeyView | null> {
    const updating = `UPDATE api_keys k SET revoked_at = coalesce(k.revoked_at, statement_timestamp())
      FROM (SELECT id, revoked_at FROM api_keys WHERE user_id = $1 AND ${by} = $2 FOR UPDATE) AS old
      WHERE k.id = old.id
      RETURNING ${view('k')}, k.user_id AS audit_user_id, k.id AS audit_api_key_id,
        CASE WHEN old.revoked_at IS NULL THEN ${created({ revoked_at: instant('k.revoked_at') })} ELSE '{}' END AS audit_changes`;
    const parameters = [userId, value, ...actorParameters(actor)];
    return this.inTurn(userId, () => this.one(recorded('api_key.revoked', updating, 3), parameters));
  }

  /**
   * Gives an active key a new secret; the old one lives on for the overlap, but no longer than it would have lived.
   *
   * @returns the key as stored, or null when there is no such key, it is not active, or `expiresAt` has passed
   */
  async rotate(
    userId: string,
    name: string,
    { expiresAt, overlapSeconds, prefix, digest }: Rotation,
    actor: Actor,
  ): Promise<KeyView | null> {
    const rotating = `UPDATE api_keys k SET digest = $3, prefix = $4, expires_at = $5
      FROM (${locked('id, digest, prefix, expires_at')}) AS old
      WHERE k.id = old.id AND k.revoked_at IS NULL AND k.expires_at > clock_timestamp() AND $5::timestamptz > clock_timestamp()
      RETURNING ${view('k')}, old.digest AS old_digest, old.expires_at AS old_expires_at,
        k.user_id AS audit_user_id, k.id AS audit_api_key_id,
        ${changed({ prefix: ['old.prefix', 'k.prefix'], expires_at: [instant('old.expires_at'), instant('k.expires_at')] })}
          || jsonb_build_object('overlap_seconds', jsonb_build_object('after', $6::int)) AS audit_changes`;
    // Secrets of earlier rotations live no longer than the one that is replaced now.
    const overlapEnd = 'clock_timestamp() + make_interval(secs => $6::int)';
    const ending = `DELETE FROM superseded_secrets s USING changed
        WHERE s.api_key_id = changed.id AND ($6::int = 0 OR s.expires_at <= statement_timestamp())`;
    const shortening = `UPDATE superseded_secrets s SET expires_at = ${overlapEnd} FROM changed
        WHERE s.api_key_id = changed.id AND $6::int > 0 AND s.expires_at > greatest(statement_timestamp(), ${overlapEnd})`;
    const superseding = `INSERT INTO superseded_secrets (digest, api_key_id, superseded_at, expires_at)
      SELECT old_digest, id, clock_timestamp(), least(old_expires_at, ${overlapEnd}) FROM changed WHERE $6::int > 0`;
    const sql = recorded('api_key.rotated', rotating, 7, [ending, shortening, superseding]);
    const parameters = [userId, name, digest, prefix, expiresAt, overlapSeconds, ...actorParameters(actor)];
    // The lock comes first: a statement that waits for another rotation does not see the secret which that has superseded.
    const work = async (manager: EntityManager): Promise<KeyView | null> => {
      await manager.query('SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE', [userId]);
      return this.one(sql, parameters, manager);
    };
    return this.inTurn(userId, () => retryingConflicts(() => this.database.transaction(work)));
  }

  /**
   * Queues changes of the keys of one user, so that all of them occupy one connection. The subject is the user, not the
   * key: a key has a name, an id and `current`, and a creation, a patch or a rotation locks the user's row as well. Not
   * for a caller's transaction: it may hold a lock that the change ahead of it in the queue waits for.
   */
  private inTurn<T>(userId: string, change: () => Promise<T>): Promise<T> {
    return this.turns.take(userId.toLowerCase(), change);
  }

  private async one(sql: string, parameters: readonly unknown[], manager?: EntityManager): Promise<KeyView | null> {
    const run = (on: EntityManager): Promise<KeyView[]> => on.query<KeyView[]>(sql, [...parameters]);
    const [row] = await (manager ? run(manager) : retryingConflicts(() => run(this.database.manager)));
    return row ?? null;
  }
}
