import { raw } from 'sql-template-tag';

/* The fields of a key that the audit trail records. */

/** An instant in the audit trail: RFC 3339 in UTC with milliseconds, as in responses. */
export const instant = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Scopes in the audit trail: an array, or "*" for null. */
export const scopesOf = (table: string): string => `coalesce(to_jsonb(${table}.scopes), '"*"')`;

export const expiryDiff = ['target.expires_at', 'api_keys.expires_at'].map(instant) as [string, string];

/** The columns of a changed key that `withAudit` reads. */
export const AUDITED_KEY = raw('api_keys.user_id AS audit_user_id, api_keys.id AS audit_api_key_id');
