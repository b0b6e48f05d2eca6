import { Injectable } from '@nestjs/common';
import sql from 'sql-template-tag';
import { DataSource } from 'typeorm';
import type { Actor } from '../audit-trail/actor.js';
import { type AuditedRow, auditSnapshot, withAudit } from '../audit-trail/with-audit.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { query } from '../database/query.js';
import { retryingConflicts } from '../database/retry.js';
import { UsersApiEvents } from '../events/users-api-events.js';
import { AUDITED_KEY, instant } from './audited-key.js';
import { DIGESTS } from './secrets.repository.js';

/** A secret that belongs to a key, and whether this call revoked it. */
export interface RevokedSecret {
  readonly userId: string;
  readonly name: string;
  readonly isRevoked: boolean;
}

/** The secrets of one key, and for each whether it worked. */
interface RevokedSecrets extends AuditedRow {
  readonly userId: string;
  readonly name: string;
  readonly secrets: Readonly<Record<string, boolean>>;
  readonly ends: boolean;
}

/** Changes of keys of any user, identified by a secret. */
@Injectable()
export class LeakedSecretsRepository {
  constructor(
    @InjectDatabase() private readonly database: DataSource,
    private readonly events: UsersApiEvents,
  ) {}

  /**
   * Revokes the keys of these secrets, in one statement, which locks the keys in the order of their
   * ids. A superseded secret revokes its whole key while its overlap lasts. Safe to repeat.
   *
   * A secret that a rotation replaces while the statement waits for the lock still counts as the
   * current secret: it may have an overlap, which the snapshot of the statement does not contain.
   *
   * @returns the known secrets by their digest in hexadecimal
   */
  async revoke(digests: readonly Buffer[], by: Actor): Promise<Map<string, RevokedSecret>> {
    const change = sql`UPDATE api_keys
       SET revoked_at = CASE WHEN target.ends THEN statement_timestamp() ELSE api_keys.revoked_at END
      FROM (SELECT k.id, found.secrets,
                   found.works AND k.revoked_at IS NULL AND k.expires_at > statement_timestamp() AS ends
              FROM (SELECT key_id, bool_or(works) AS works, jsonb_object_agg(encode(digest, 'hex'), works) AS secrets
                      FROM (SELECT request.digest, coalesce(k.id, s.api_key_id) AS key_id,
                                   k.id IS NOT NULL OR s.expires_at > statement_timestamp() AS works
                              FROM ${DIGESTS.of(digests, 'request')}
                              LEFT JOIN api_keys AS k ON k.secret_digest = request.digest
                              LEFT JOIN superseded_secrets AS s ON s.digest = request.digest
                             WHERE coalesce(k.id, s.api_key_id) IS NOT NULL) AS each_secret
                     GROUP BY key_id) AS found
              JOIN api_keys AS k ON k.id = found.key_id
             ORDER BY k.id
               FOR UPDATE OF k) AS target
     WHERE api_keys.id = target.id
    RETURNING api_keys.user_id AS "userId", api_keys.name, target.secrets, target.ends, ${AUDITED_KEY},
              CASE WHEN target.ends THEN ${auditSnapshot({ revoked_at: instant('api_keys.revoked_at') })}
                   ELSE '{}' END AS audit_changes`;
    const statement = withAudit('api_key.revoked', change, { by });
    const rows = await retryingConflicts(() => query<RevokedSecrets>(this.database, statement));
    for (const row of rows) this.events.publishAudited('api_key.revoked', row, by);
    return new Map(
      rows.flatMap(({ userId, name, secrets, ends }) =>
        Object.entries(secrets).map(([digest, works]) => [digest, { userId, name, isRevoked: ends && works }] as const),
      ),
    );
  }
}
