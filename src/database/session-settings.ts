import type { DataSource } from 'typeorm';

/**
 * What our statements and the parsers of `pg` rely on. A server, database or role may set other values, so each connection
 * sets these as it is opened, with its startup message, which takes no round trip.
 */
export const SESSION_SETTINGS: SessionSettings = {
  DateStyle: 'ISO, MDY', // `pg` reads instants in no other form
  default_transaction_isolation: 'read committed', // a statement that has waited for a lock must see what its holder wrote
  array_nulls: 'on', // `pg` writes null in an array as NULL, which "off" reads as the text "NULL"
  standard_conforming_strings: 'on', // a backslash in our SQL stands for itself
};

/** The part that a pooler in transaction mode carries from its clients to the sessions that it lends them. */
export const POOLED_SETTINGS: SessionSettings = { DateStyle: 'ISO, MDY' };

/** For migrations and commands: these compare definitions as PostgreSQL writes them, and take the time they take. */
export const COMMAND_SETTINGS: SessionSettings = {
  ...SESSION_SETTINGS,
  quote_all_identifiers: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
};

/** By the names of PostgreSQL's configuration parameters. */
export type SessionSettings = Readonly<Record<string, string>>;

/** Triggers keep the ledger and the audit trail. "replica" switches them off; only superusers may set it, so it is only checked. */
const REQUIRED: SessionSettings = { ...SESSION_SETTINGS, session_replication_role: 'origin' };

/** The connection has settings with which the Users API would lose or mistake data. */
export class UnsuitableSettingsError extends Error {
  constructor(settings: readonly string[], remedies: readonly string[]) {
    super(
      `The database connection has ${settings.join(' and ')}, with which the Users API cannot work: run ${remedies.join('; ')}, ` +
        'and take them out of the options of the connection if they stand there.',
    );
    this.name = 'UnsuitableSettingsError';
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
 * Checks a connection that others have opened: that of a host application, or the session of a pooler.
 *
 * @throws UnsuitableSettingsError naming each setting and the statement that sets it right
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
    // The most specific place, which wins over the settings of the role, of the database and of the server.
    unsuitable.map(
      (row) => `ALTER ROLE ${row.role} IN DATABASE ${row.database} SET ${row.name} = '${REQUIRED[row.name] ?? ''}'`,
    ),
  );
}

/** Of `ISO, MDY` the second part is about dates that are read, and ours are never ambiguous. */
const firstWord = (setting: string): string | undefined => setting.split(',')[0];
