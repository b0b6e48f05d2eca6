import { raw } from 'sql-template-tag';
import { heldCredits } from '../api-keys/held-credits.js';
import { COLUMNS as USER_COLUMNS } from '../users/users.statements.js';

/** Rows about a user, and their exported columns. */
export interface ExportPart {
  readonly table: string;
  /** The column with the id of the user or, in `superseded_secrets`, of a key of the user. */
  readonly by: string;
  /** The condition of the rows. Its parameter `$1` is the id of the user. */
  readonly rows: string;
  /** Columns that are exported as they are; instants in RFC 3339. */
  readonly columns: readonly string[];
  /** bigint columns, whose values are integers up to 2^53 − 1. */
  readonly integers?: readonly string[];
  /** Values in SQL, by their names in the export. */
  readonly computed?: Readonly<Record<string, string>>;
  /** Columns that the export omits: digests of secrets, and data of other people. */
  readonly withheld?: readonly string[];
  /** The sort order of the rows. */
  readonly order: string;
}

const BY = ['actor', 'actor_user_id', 'actor_key_id', 'request_id', 'actor_account'];
const OLDEST = 'created_at, id';
const USER_INTEGERS = ['version', 'credits_balance'];
const HAS_EXPIRED = `status = 'OPEN' AND expires_at <= statement_timestamp()`;

/**
 * Everything that is stored about one user, by the name in the export. A test checks that each
 * column `user_id` and `actor_user_id` of the database is listed here, and each column of these
 * tables.
 */
export const EXPORT_PARTS: Readonly<Record<string, ExportPart>> = {
  user: {
    table: 'users',
    by: 'id',
    rows: 'id = $1',
    columns: Object.values(USER_COLUMNS).filter((column) => !USER_INTEGERS.includes(column)),
    integers: USER_INTEGERS,
    computed: { credits_held: `(${heldCredits(raw('users')).sql})::float8` }, // of expired holds none
    order: 'id',
  },
  api_keys: {
    table: 'api_keys',
    by: 'user_id',
    rows: 'user_id = $1',
    columns: [
      ...['id', 'user_id', 'created_at', 'last_used_at', 'expires_at', 'revoked_at'],
      ...['name', 'prefix', 'scopes', 'rate_limit_per_minute'],
    ],
    withheld: ['secret_digest'],
    order: OLDEST,
  },
  superseded_secrets: {
    table: 'superseded_secrets',
    by: 'api_key_id',
    rows: 'api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1)',
    columns: ['api_key_id', 'superseded_at'],
    computed: { expires_at: 'greatest(expires_at, superseded_at)' }, // -infinity without an overlap
    withheld: ['digest'],
    order: 'superseded_at, api_key_id',
  },
  credit_entries: {
    table: 'credit_entries',
    by: 'user_id',
    rows: 'user_id = $1',
    columns: ['id', 'created_at', 'user_id', 'transaction_id', 'transaction_type', 'api_key_id', ...BY],
    integers: ['credits', 'balance_after'],
    order: OLDEST,
  },
  /** Movements of other users' credits that the user has made as an administrator. */
  credit_entries_made: {
    table: 'credit_entries',
    by: 'actor_user_id',
    rows: 'actor_user_id = $1 AND user_id <> $1',
    columns: ['id', 'created_at', 'user_id', 'transaction_type', ...BY],
    withheld: ['credits', 'balance_after', 'transaction_id', 'api_key_id'],
    order: OLDEST,
  },
  credit_holds: {
    table: 'credit_holds',
    by: 'user_id',
    rows: 'user_id = $1',
    columns: ['id', 'created_at', 'user_id', 'expires_at', 'transaction_id', 'transaction_type', 'api_key_id', ...BY],
    integers: ['amount', 'captured'],
    computed: {
      status: `CASE WHEN ${HAS_EXPIRED} THEN 'EXPIRED' ELSE status END`,
      settled_at: `CASE WHEN ${HAS_EXPIRED} THEN expires_at ELSE settled_at END`,
    },
    order: OLDEST,
  },
  /** Holds of other users' credits that the user has made as an administrator. */
  credit_holds_made: {
    table: 'credit_holds',
    by: 'actor_user_id',
    rows: 'actor_user_id = $1 AND user_id <> $1',
    columns: ['id', 'created_at', 'user_id', 'transaction_type', ...BY],
    withheld: ['amount', 'captured', 'status', 'expires_at', 'settled_at', 'transaction_id', 'api_key_id'],
    order: OLDEST,
  },
  audit_events: {
    table: 'audit_events',
    by: 'user_id',
    rows: 'user_id = $1',
    columns: ['id', 'created_at', 'action', 'user_id', 'api_key_id', ...BY, 'changes'],
    order: OLDEST,
  },
  /**
   * Changes of other users that the user has made as an administrator, without the changed values.
   */
  audit_events_made: {
    table: 'audit_events',
    by: 'actor_user_id',
    // The first condition on `action` is that of the index on actors.
    rows: `actor_user_id = $1 AND (action <> 'user.updated' OR user_id <> actor_user_id) AND user_id IS DISTINCT FROM $1`,
    columns: ['id', 'created_at', 'action', 'user_id', 'api_key_id', ...BY],
    computed: { changed: 'ARRAY(SELECT jsonb_object_keys(changes) ORDER BY 1)' },
    withheld: ['changes'],
    order: OLDEST,
  },
};

/** The statement of a part; its parameter is the id of the user. */
export const exportedRows = ({ table, rows, columns, integers = [], computed = {}, order }: ExportPart): string => {
  const selected = [
    ...columns,
    ...integers.map((column) => `${column}::float8 AS ${column}`),
    ...Object.entries(computed).map(([name, value]) => `${value} AS ${name}`),
  ];
  return `SELECT ${selected.join(', ')} FROM ${table} WHERE ${rows} ORDER BY ${order}`;
};
