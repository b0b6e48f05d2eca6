import { raw, type Sql } from 'sql-template-tag';
import type { Scopes } from './scopes.js';

export type ApiKeyStatus = 'ACTIVE' | 'EXPIRED' | 'REVOKED';

/**
 * The fields of a key that its owner may see. The status is that at the time of the statement, by
 * the database's clock.
 */
export interface KeyView {
  readonly id: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly expiresAt: Date;
  readonly status: ApiKeyStatus;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: Scopes;
  /** Requests a minute: 0 for no budget of its own, null for the default. */
  readonly rateLimitPerMinute: number | null;
}

/** Copies only the fields of a `KeyView`: a statement returns further columns. */
export const toKeyView = (row: KeyView): KeyView => ({
  id: row.id,
  createdAt: row.createdAt,
  lastUsedAt: row.lastUsedAt,
  expiresAt: row.expiresAt,
  status: row.status,
  name: row.name,
  prefix: row.prefix,
  scopes: row.scopes,
  rateLimitPerMinute: row.rateLimitPerMinute,
});

/** The select list of a `KeyView`, from a table or alias that has the columns of `api_keys`. */
export const keyView = (table: string): Sql =>
  raw(`${table}.id, ${table}.created_at AS "createdAt", ${table}.last_used_at AS "lastUsedAt",
           ${table}.expires_at AS "expiresAt", ${table}.name, ${table}.prefix, ${table}.scopes,
           ${table}.rate_limit_per_minute AS "rateLimitPerMinute",
           CASE WHEN ${table}.revoked_at IS NOT NULL THEN 'REVOKED'
                WHEN ${table}.expires_at <= statement_timestamp() THEN 'EXPIRED' ELSE 'ACTIVE' END AS status`);
