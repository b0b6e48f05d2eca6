import { Injectable } from '@nestjs/common';
import sql, { raw, type Sql } from 'sql-template-tag';
import { DataSource, type EntityManager } from 'typeorm';
import type { Actor } from '../audit-trail/actor.js';
import { type AuditedRow, auditDiff, auditSnapshot, withAudit } from '../audit-trail/with-audit.js';
import { Counters } from '../common/counters/counters.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { query } from '../database/query.js';
import { retryingConflicts } from '../database/retry.js';
import { SerialQueue } from '../database/serial-queue.js';
import { type ApiKeyEvent, UsersApiEvents } from '../events/users-api-events.js';
import { AUDITED_KEY, expiryDiff, instant, scopesOf } from './audited-key.js';
import { isWithinSql } from './key-limits.js';
import { keyView, type KeyView, toKeyView } from './key-view.js';
import type { Scopes } from './scopes.js';

export interface NewApiKey {
  readonly userId: string;
  readonly name: string;
  readonly expiresAt: Date;
  readonly scopes: Scopes;
  readonly rateLimitPerMinute: number | null;
  readonly prefix: string;
  readonly digest: Buffer;
}

export interface ApiKeyChanges {
  readonly name?: string | undefined;
  readonly expiresAt?: Date | undefined;
  /** Null for everything that the owner may do. */
  readonly scopes?: Scopes | undefined;
  /**
   * Requests a minute: 0 for no budget of its own; null for the default, or for none if the user
   * has a budget.
   */
  readonly rateLimitPerMinute?: number | null | undefined;
}

export interface Rotation {
  readonly expiresAt: Date;
  readonly overlapSeconds: number;
  readonly prefix: string;
  readonly digest: Buffer;
}

/**
 * The row of a key, locked together with the row of its user. The creation of a key counts the
 * active keys of the user under the same lock of the user, so it sees each changed expiry.
 */
const lockedKey = (userId: string, name: string): Sql => sql`(SELECT k.*
              FROM users AS u
              JOIN api_keys AS k ON k.user_id = u.id
             WHERE u.id = ${userId} AND k.name = ${name}
               FOR NO KEY UPDATE OF u
               FOR UPDATE OF k) AS target`;

/** Changes of keys, and lookups of a user's own keys. */
@Injectable()
export class ApiKeysRepository {
  private readonly queue = new SerialQueue();

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    private readonly events: UsersApiEvents,
    counters: Counters,
  ) {
    counters.watchQueue('change_api_keys', this.queue);
  }

  async findByName(userId: string, name: string): Promise<KeyView | null> {
    return this.first(sql`SELECT ${keyView('api_keys')} FROM api_keys WHERE user_id = ${userId} AND name = ${name}`);
  }

  async findById(userId: string, id: string): Promise<KeyView | null> {
    return this.first(sql`SELECT ${keyView('api_keys')} FROM api_keys WHERE user_id = ${userId} AND id = ${id}`);
  }

  async ownerExists(userId: string, on: DataSource | EntityManager = this.database): Promise<boolean> {
    return (await query(on, sql`SELECT FROM users WHERE id = ${userId}`)).length > 0;
  }

  /** Whether a rotation has replaced the secret with this digest, and its key still knows of it. */
  async isSuperseded(digest: Buffer, on: DataSource | EntityManager = this.database): Promise<boolean> {
    return (await query(on, sql`SELECT FROM superseded_secrets WHERE digest = ${digest}`)).length > 0;
  }

  /** Whether an instant has passed, by the database's clock. */
  async hasPassed(instant: Date, on: DataSource | EntityManager = this.database): Promise<boolean> {
    const [row] = await query<{ passed: boolean }>(
      on,
      sql`SELECT ${instant}::timestamptz <= clock_timestamp() AS passed`,
    );
    return row?.passed === true;
  }

  /**
   * @param manager joins the caller's transaction
   * @returns the key as stored, or null when `expiresAt` has passed by the database's clock
   */
  async insert(
    { userId, name, expiresAt, scopes, rateLimitPerMinute, prefix, digest }: NewApiKey,
    by: Actor,
    manager?: EntityManager,
  ): Promise<KeyView | null> {
    const change = sql`INSERT INTO api_keys (user_id, name, expires_at, scopes, rate_limit_per_minute, prefix, secret_digest)
    SELECT ${userId}, ${name}, ${expiresAt}, ${scopes}::text[], ${rateLimitPerMinute}::integer, ${prefix}, ${digest}
     WHERE ${expiresAt}::timestamptz > statement_timestamp()
    RETURNING ${keyView('api_keys')}, ${AUDITED_KEY},
              ${auditSnapshot({ name: 'name', expires_at: instant('expires_at'), prefix: 'prefix', scopes: scopesOf('api_keys'), rate_limit_per_minute: 'rate_limit_per_minute' })} AS audit_changes`;
    const run = (): Promise<KeyView | null> => this.change('api_key.created', change, by, { manager });
    return manager ? run() : this.serially(userId, run);
  }

  /**
   * Changes the given fields of a key. `expiresAt` changes only while the key is active, and only
   * to a future instant.
   *
   * @returns the key as stored, or null when there is no such key, the change is not possible, or
   *   the actor's key has scopes that do not allow the change
   */
  async patch(userId: string, name: string, changes: ApiKeyChanges, by: Actor): Promise<KeyView | null> {
    const { name: newName, expiresAt } = changes;
    const newExpiry = sql`coalesce(${expiresAt}, target.expires_at)`;
    const newScopes = changes.scopes === undefined ? sql`target.scopes` : sql`${changes.scopes}::text[]`;
    const newRateLimit =
      changes.rateLimitPerMinute === undefined
        ? sql`target.rate_limit_per_minute`
        : sql`${changes.rateLimitPerMinute}::integer`;
    const change = sql`UPDATE api_keys
       SET name = coalesce(${newName}, target.name),
           expires_at = ${newExpiry},
           scopes = ${newScopes},
           rate_limit_per_minute = ${newRateLimit}
      FROM ${lockedKey(userId, name)}
     WHERE api_keys.id = target.id
       AND (${expiresAt}::timestamptz IS NULL
            OR (${expiresAt}::timestamptz > clock_timestamp() AND target.expires_at > clock_timestamp() AND target.revoked_at IS NULL))
       AND ${isWithinSql(by, sql`target.scopes`, newExpiry)}
       AND ${isWithinSql(by, newScopes, newExpiry)}
    RETURNING ${keyView('api_keys')}, ${AUDITED_KEY},
              ${auditDiff({ name: ['target.name', 'api_keys.name'], expires_at: expiryDiff, scopes: [scopesOf('target'), scopesOf('api_keys')], rate_limit_per_minute: ['target.rate_limit_per_minute', 'api_keys.rate_limit_per_minute'] })} AS audit_changes`;
    return this.serially(userId, () => this.change('api_key.updated', change, by));
  }

  /**
   * Revokes a key for good. Safe to repeat: the first revocation stands.
   *
   * @param column the column that identifies the key; a name may pass to another key at any time,
   *   an id never does
   */
  async revoke(userId: string, column: 'id' | 'name', value: string, by: Actor): Promise<KeyView | null> {
    const change = sql`UPDATE api_keys
       SET revoked_at = coalesce(api_keys.revoked_at, statement_timestamp())
      FROM (SELECT id, revoked_at
              FROM api_keys
             WHERE user_id = ${userId} AND ${raw(column)} = ${value}
               FOR UPDATE) AS target
     WHERE api_keys.id = target.id
    RETURNING ${keyView('api_keys')}, ${AUDITED_KEY},
              CASE WHEN target.revoked_at IS NULL THEN ${auditSnapshot({ revoked_at: instant('api_keys.revoked_at') })}
                   ELSE '{}' END AS audit_changes`;
    return this.serially(userId, () => this.change('api_key.revoked', change, by));
  }

  /**
   * Gives an active key a new secret. The old one works until the end of the overlap, but no longer
   * than it would have worked without the rotation, and so do secrets of earlier rotations.
   *
   * @returns the key as stored, or null when there is no such key, it is not active, `expiresAt`
   *   has passed, or the actor's key has scopes that do not allow it
   */
  async rotate(
    userId: string,
    name: string,
    { expiresAt, overlapSeconds, prefix, digest }: Rotation,
    by: Actor,
  ): Promise<KeyView | null> {
    // Without an overlap, the old secret must stay invalid even if the clock is set back.
    const overlapEnd =
      overlapSeconds === 0
        ? sql`'-infinity'::timestamptz`
        : sql`clock_timestamp() + make_interval(secs => ${overlapSeconds}::int)`;
    const change = sql`UPDATE api_keys
       SET secret_digest = ${digest}, prefix = ${prefix}, expires_at = ${expiresAt}
      FROM ${lockedKey(userId, name)}
     WHERE api_keys.id = target.id
       AND target.revoked_at IS NULL
       AND target.expires_at > clock_timestamp()
       AND ${expiresAt}::timestamptz > clock_timestamp()
       AND ${isWithinSql(by, sql`target.scopes`, sql`${expiresAt}::timestamptz`)}
    RETURNING ${keyView('api_keys')}, ${AUDITED_KEY}, target.secret_digest AS old_digest, target.expires_at AS old_expires_at,
              ${auditDiff({ prefix: ['target.prefix', 'api_keys.prefix'], expires_at: expiryDiff })}
                || jsonb_build_object('overlap_seconds', jsonb_build_object('after', ${overlapSeconds}::int)) AS audit_changes`;
    const also = {
      ended: sql`DELETE FROM superseded_secrets AS s
     USING changed
     WHERE s.api_key_id = changed.id
       AND s.expires_at <= statement_timestamp()`,
      shortened: sql`UPDATE superseded_secrets AS s
       SET expires_at = ${overlapEnd}
      FROM changed
     WHERE s.api_key_id = changed.id
       AND s.expires_at > greatest(statement_timestamp(), ${overlapEnd})`,
      superseded: sql`INSERT INTO superseded_secrets (digest, api_key_id, superseded_at, expires_at)
    SELECT old_digest, id, clock_timestamp(), least(old_expires_at, ${overlapEnd})
      FROM changed`,
    };
    // The lock is taken by an earlier statement: a statement that waits for another rotation does
    // not see the secret that the other rotation has superseded.
    const work = async (manager: EntityManager): Promise<KeyView | null> => {
      await query(manager, sql`SELECT FROM users WHERE id = ${userId} FOR NO KEY UPDATE`);
      return this.change('api_key.rotated', change, by, { manager, also });
    };
    return this.serially(userId, () => retryingConflicts(() => this.database.transaction(work)));
  }

  /**
   * Queues changes of the keys of one user, so that all of them occupy one connection. The queue is
   * per user, not per API key: a key can be identified by its name, its id or `current`, and a
   * creation, a patch or a rotation also locks the user's row. Not for a change in a caller's
   * transaction, which may hold a lock that an earlier change in the queue waits for.
   */
  private serially<T>(userId: string, change: () => Promise<T>): Promise<T> {
    return this.queue.run(userId.toLowerCase(), change);
  }

  /** Runs a change of a key, records it, and publishes it after its commit. */
  private async change(
    action: ApiKeyEvent['type'],
    change: Sql,
    by: Actor,
    { manager, also }: { manager?: EntityManager | undefined; also?: Readonly<Record<string, Sql>> } = {},
  ): Promise<KeyView | null> {
    const row = await this.first<KeyView & AuditedRow>(
      withAudit(action, change, { by, ...(also && { also }) }),
      manager,
    );
    if (!row) return null;
    this.events.publishAudited(action, row, by, manager);
    return toKeyView(row);
  }

  private async first<Row extends KeyView>(statement: Sql, manager?: EntityManager): Promise<Row | null> {
    const run = (on: DataSource | EntityManager): Promise<Row[]> => query(on, statement);
    const [row] = await (manager ? run(manager) : retryingConflicts(() => run(this.database)));
    return row ?? null;
  }
}
