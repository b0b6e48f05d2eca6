import type { DataSource } from 'typeorm';
import { OperatorError } from '../common/errors/operator.error.js';

/**
 * Settings that the statements and the parsers of `pg` rely on. A server, database or role may have
 * other values, so each connection sets them in its startup message, which takes no round trip.
 */
export const SESSION_SETTINGS: SessionSettings = {
  DateStyle: 'ISO, MDY', // the only format of timestamps that `pg` parses
  default_transaction_isolation: 'read committed', // a statement that has waited for a lock must see what the other transaction wrote
  array_nulls: 'on', // with "off" the NULL that `pg` writes for null in an array is the text "NULL"
  standard_conforming_strings: 'on', // a backslash in the SQL is an ordinary character
};

/** The settings that a pooler in transaction mode forwards to the sessions of the server. */
export const POOLED_SETTINGS: SessionSettings = { DateStyle: 'ISO, MDY' };

/**
 * For migrations and commands, which compare definitions in PostgreSQL's own notation and have no
 * timeout.
 */
export const COMMAND_SETTINGS: SessionSettings = {
  ...SESSION_SETTINGS,
  quote_all_identifiers: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
};

/** Values by the names of PostgreSQL's configuration parameters. */
export type SessionSettings = Readonly<Record<string, string>>;

/**
 * Triggers protect the ledger and the audit trail. "replica" disables them; only superusers may set
 * it, so it is only checked.
 */
const REQUIRED: SessionSettings = { ...SESSION_SETTINGS, session_replication_role: 'origin' };

/** The connection has settings that would cause data to be lost or misread. */
export class UnsuitableSettingsError extends OperatorError {
  constructor(settings: readonly string[], remedies: readonly string[]) {
    super(
      `The database connection has ${settings.join(' and ')}, with which the Users API cannot work: run ${remedies.join('; ')}, ` +
        'and remove them from the options of the connection if they are there.',
    );
  }
}

interface SettingRow {
  readonly name: string;
  readonly setting: string;
  /** Quoted identifiers. */
  readonly database: string;
  readonly role: string;
}

/**
 * Checks a connection that was opened elsewhere: that of a host application, or the session of a
 * pooler.
 *
 * @throws UnsuitableSettingsError with each setting and the statement that corrects it
 */
export async function refuseUnsuitableSettings(database: DataSource): Promise<void> {
  const rows = await database.query<SettingRow[]>(
    `SELECT name, setting, quote_ident(current_database()) AS database, quote_ident(session_user) AS role
       FROM pg_settings WHERE name = ANY ($1) ORDER BY name`,
    [Object.keys(REQUIRED)],
  );
  const unsuitable = rows.filter(({ name, setting }) => firstWord(setting) !== firstWord(REQUIRED[name] ?? ''));
  if (unsuitable.length === 0) return;
  throw new UnsuitableSettingsError(
    unsuitable.map(({ name, setting }) => `${name} = '${setting}'`),
    // The most specific level, which overrides the settings of the role, the database and the
    // server.
    unsuitable.map(
      (row) => `ALTER ROLE ${row.role} IN DATABASE ${row.database} SET ${row.name} = '${REQUIRED[row.name] ?? ''}'`,
    ),
  );
}

/**
 * The second part of `ISO, MDY` applies only to ambiguous dates in parameters, which do not occur.
 */
const firstWord = (setting: string): string | undefined => setting.split(',')[0];
