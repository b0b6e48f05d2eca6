import { Injectable } from '@nestjs/common';
import sql, { raw } from 'sql-template-tag';
import { DataSource } from 'typeorm';
import { Counters } from '../common/counters/counters.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { Rows } from '../database/rows.js';
import { firstOf, IncompleteResultError, Statement } from '../database/statement.js';
import { StatementBatcher } from '../database/statement-batcher.js';
import { heldCredits } from './held-credits.js';
import type { Scopes } from './scopes.js';

/**
 * Why a secret does not work. `superseded`: a rotation has replaced it, and its overlap is over;
 * after a further rotation it is `unknown`.
 */
export type SecretRefusal = 'unknown' | 'revoked' | 'expired' | 'superseded' | 'user_inactive';

/** A secret that works, with its key and user. */
export interface LiveSecret {
  readonly digest: Buffer;
  readonly keyId: string;
  readonly keyName: string;
  readonly userId: string;
  readonly isAdmin: boolean;
  readonly scopes: Scopes;
  /** The expiry of the key. */
  readonly expiresAt: Date;
  /**
   * The credits that the user can spend, without held credits; as text, since a bigint does not fit
   * into a number.
   */
  readonly creditsAvailable: string;
  /** Set if a rotation has replaced the secret, during its overlap. */
  readonly supersededAt: Date | null;
  readonly supersededUntil: Date | null;
  /** The stored budget of the key; see `LimitedKey`. */
  readonly keyRateLimitPerMinute: number | null;
  /** The stored budget of the user. */
  readonly userRateLimitPerMinute: number | null;
}

/** The result of a lookup for each requested digest. */
export type SecretRow =
  (LiveSecret & { readonly refusal: null }) | { readonly refusal: SecretRefusal; readonly digest: Buffer };

/** Digests as parameters of a statement. */
export const DIGESTS = new Rows<Buffer>({ digest: ['bytea', (digest) => digest] });

/** The columns of a secret that works, by their properties. */
const LIVE_COLUMNS = {
  keyId: 'k.id',
  keyName: 'k.name',
  userId: 'k.user_id',
  isAdmin: 'u.is_admin',
  scopes: 'k.scopes',
  expiresAt: 'k.expires_at',
  creditsAvailable: `u.credits_balance - ${heldCredits(raw('u')).sql}`,
  supersededAt: 's.superseded_at',
  supersededUntil: 'CASE WHEN s.digest IS NOT NULL THEN least(s.expires_at, k.expires_at) END',
  keyRateLimitPerMinute: 'k.rate_limit_per_minute',
  userRateLimitPerMinute: 'u.rate_limit_per_minute',
} as const satisfies Record<keyof Omit<LiveSecret, 'digest'>, string>;

/** All null for a refused secret, which must reveal no more than one that does not exist. */
const liveColumns = raw(
  Object.entries(LIVE_COLUMNS)
    .map(([property, column]) => `CASE WHEN refusal IS NULL THEN ${column} END AS "${property}"`)
    .join(',\n       '),
);

const NIL_UUID = sql`'00000000-0000-0000-0000-000000000000'`;

/**
 * Returns one row for each digest, whether or not it is stored, and looks up a user even if there
 * is no key: the time of a refusal must not reveal its reason, so a refused secret that exists
 * returns no more than an unknown one. With `LIMIT 1` the planner uses an index lookup for each
 * digest, and does not join whole tables.
 */
export const FIND_SECRETS = new Statement<SecretRow>(
  'find_secrets',
  sql`SELECT coalesce(s.digest, k.secret_digest, request.digest) AS digest, refusal,
       ${liveColumns}
  FROM ${DIGESTS.prepared('request')}
  LEFT JOIN LATERAL (SELECT * FROM superseded_secrets WHERE digest = request.digest LIMIT 1) AS s ON true
  LEFT JOIN LATERAL (SELECT * FROM api_keys WHERE secret_digest = request.digest
                     UNION ALL
                     SELECT * FROM api_keys WHERE id = s.api_key_id LIMIT 1) AS k ON true
  LEFT JOIN LATERAL (SELECT * FROM users WHERE id = coalesce(k.user_id, ${NIL_UUID}) LIMIT 1) AS u ON true
 CROSS JOIN LATERAL (SELECT CASE WHEN k.id IS NULL THEN 'unknown'
                                 WHEN k.revoked_at IS NOT NULL THEN 'revoked'
                                 WHEN k.expires_at <= statement_timestamp() THEN 'expired'
                                 WHEN s.expires_at <= statement_timestamp() THEN 'superseded'
                                 WHEN u.status = 'ACTIVE' THEN NULL ELSE 'user_inactive' END AS refusal) AS verdict`,
);

/** Lookups of keys by their secret. */
@Injectable()
export class SecretsRepository {
  private readonly lookups: StatementBatcher<Buffer, LiveSecret | SecretRefusal>;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    counters: Counters,
  ) {
    const findAll = async (digests: readonly Buffer[]): Promise<(LiveSecret | SecretRefusal)[]> => {
      const found = await FIND_SECRETS.run(this.database, DIGESTS.values(digests));
      const byDigest = new Map(found.map((row) => [row.digest.toString('latin1'), row.refusal ?? row]));
      return digests.map((digest) => {
        const secret = byDigest.get(digest.toString('latin1'));
        if (secret === undefined || found.length !== digests.length) throw new IncompleteResultError();
        return secret;
      });
    };
    this.lookups = new StatementBatcher({
      runMany: findAll,
      runOne: async (digest) => firstOf(await findAll([digest])),
      onBatch: counters.batchSizeOf('find_secrets'),
    });
    counters.watchQueue('find_secrets', this.lookups);
  }

  /**
   * The secret with this digest, if it, its key and its owner are all live at this instant of the
   * database's clock, or else the reason why it does not work. One statement checks all conditions,
   * so no change can come between them and no cached result outlives a revocation. Lookups of the
   * same moment share the statement.
   *
   * @throws IncompleteResultError when the result of the database contains neither
   */
  find(digest: Buffer): Promise<LiveSecret | SecretRefusal> {
    return this.lookups.run(digest);
  }
}
