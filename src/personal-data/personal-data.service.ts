import { Injectable } from '@nestjs/common';
import sql from 'sql-template-tag';
import { DataSource, type ObjectLiteral, type QueryRunner } from 'typeorm';
import type { Actor } from '../audit-trail/actor.js';
import { violates } from '../common/errors/constraint.js';
import { AuditTrailLockedError } from '../database/audit-trail-locked.error.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { longTransaction } from '../database/long-transaction.js';
import { NO_TIMEOUTS_OR_IDLE_TIMEOUT } from '../database/without-timeouts.js';
import { refuseOthersThanOwner } from '../database/privileges.js';
import { query } from '../database/query.js';
import { isLockTimeout } from '../database/retry.js';
import { LastAdministratorError, UserNotFoundError } from '../users/users.errors.js';
import { EXPORT_PARTS, exportedRows } from './export-parts.js';

/** The name and the version of the format that `docs/user-export.schema.json` describes. */
const FORMAT = { format: 'users-api/user-export', format_version: 1 };

/** Number of rows that are read at once. */
const CHUNK = 1_000;

@Injectable()
export class PersonalDataService {
  constructor(@InjectDatabase() private readonly database: DataSource) {}

  /**
   * Everything that is stored about one user, as parts of one JSON document, in one snapshot. Rows
   * are read in chunks, however many there are.
   *
   * @throws UserNotFoundError
   */
  async *export(userId: string): AsyncGenerator<string> {
    const runner = this.database.createQueryRunner();
    await runner.startTransaction('REPEATABLE READ');
    try {
      await runner.query('SET TRANSACTION READ ONLY');
      await runner.query(NO_TIMEOUTS_OR_IDLE_TIMEOUT); // the reader may be slow
      const { user: userPart, ...lists } = EXPORT_PARTS;
      const [user] = userPart ? ((await runner.query(exportedRows(userPart), [userId])) as ObjectLiteral[]) : [];
      if (!user) throw new UserNotFoundError({ id: userId });
      const [{ now }] = (await runner.query('SELECT now()')) as [{ now: Date }];
      const head = JSON.stringify({ ...FORMAT, exported_at: now, user });
      yield head.slice(0, -1);
      for (const [name, part] of Object.entries(lists)) {
        yield `,\n${JSON.stringify(name)}:[`;
        let separator = '\n';
        for await (const rows of chunks(runner, exportedRows(part), [userId])) {
          yield separator + rows.map((row) => JSON.stringify(row)).join(',\n');
          separator = ',\n';
        }
        yield ']';
      }
      yield '}\n';
    } finally {
      await runner.rollbackTransaction().catch(() => undefined); // the transaction has only read
      await runner.release();
    }
  }

  /**
   * Erases the data of a user, except ids, the ledger and the events themselves: the user becomes
   * INACTIVE and loses the administrator role, its keys stop working, and placeholders replace the
   * name, the address and the names of keys, also in the audit trail. Safe to repeat.
   *
   * @param by the account of the operator is recorded
   * @returns false if everything was already erased
   * @throws MissingPrivilegesError for every role except the owner of the tables,
   *   UserNotFoundError, LastAdministratorError, AuditTrailLockedError; nothing is erased then
   */
  async erase(userId: string, by: Actor): Promise<boolean> {
    await refuseOthersThanOwner(this.database, 'audit_events');
    const statement = sql`SELECT erase_user(${userId}, ${by.account ?? null}) AS erased`;
    try {
      const [row] = await longTransaction(this.database, (manager) =>
        query<{ erased: boolean | null }>(manager, statement),
      );
      if (row?.erased == null) throw new UserNotFoundError({ id: userId });
      return row.erased;
    } catch (error) {
      if (violates(error, 'ck_users_last_administrator')) throw new LastAdministratorError();
      throw isLockTimeout(error) ? new AuditTrailLockedError() : error;
    }
  }
}

/** Reads the rows of a statement in chunks. */
async function* chunks(runner: QueryRunner, statement: string, values: unknown[]): AsyncGenerator<ObjectLiteral[]> {
  await runner.query(`DECLARE exported NO SCROLL CURSOR FOR ${statement}`, values);
  for (;;) {
    const rows = (await runner.query(`FETCH ${String(CHUNK)} FROM exported`)) as ObjectLiteral[];
    if (rows.length > 0) yield rows;
    if (rows.length < CHUNK) break;
  }
  await runner.query('CLOSE exported');
}
