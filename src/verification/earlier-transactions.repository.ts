import { Injectable } from '@nestjs/common';
import sql, { type Sql } from 'sql-template-tag';
import { DataSource } from 'typeorm';
import { digestOf } from '../api-keys/api-key.secret.js';
import { isApiKeyOfAnyPrefix } from '../common/api-key-format.js';
import { Counters } from '../common/counters/counters.js';
import type { CreditEntry } from '../credits/credit-entry.entity.js';
import { ENTRY, type EntryRow, HOLD, SELECTED_ENTRY, toEntry } from '../credits/credits.statements.js';
import { type HoldTransaction, isHoldOf, type Transaction } from '../credits/credits.service.js';
import type { CreditHold } from '../credits/holds/credit-hold.entity.js';
import { DEFAULT_HOLD_SECONDS } from '../credits/holds/hold-rules.js';
import { type HoldRow, SELECTED_HOLD, toHold } from '../credits/holds/holds.statements.js';
import { DEFAULT_TRANSACTION_TYPE } from '../credits/transaction-type.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { Rows } from '../database/rows.js';
import { firstOf, IncompleteResultError, Statement } from '../database/statement.js';
import { StatementBatcher } from '../database/statement-batcher.js';

/** The earlier use of a transaction id by the owner of a key. */
export interface EarlierTransaction {
  /** The entry of the same charge by the same key; null if the id belongs to anything else. */
  readonly charge: CreditEntry | null;
  /** The same hold by the same key while it is open; null if the id belongs to anything else. */
  readonly hold: CreditHold | null;
}

interface Lookup {
  readonly digest: Buffer;
  readonly transactionId: string;
}

/** The entry of the transaction id, or else its hold. All columns are null if there is neither. */
type LookupRow = { readonly digest: Buffer; readonly requestedId: string; readonly keyId: string | null } & (
  | ({ readonly table: 'credit_entries' } & EntryRow)
  | ({ readonly table: 'credit_holds' } & HoldRow)
  | { readonly table: null }
);

const LOOKUPS = new Rows<Lookup>({
  digest: ['bytea', ({ digest }) => digest],
  transaction_id: ['text', ({ transactionId }) => transactionId],
});

/** With `BETWEEN … ORDER BY` only one index has the order: see `moveAll` in the ledger. */
const REQUESTED: Sql = sql`WHERE user_id = k.user_id
                               AND transaction_id BETWEEN request.transaction_id AND request.transaction_id
                             ORDER BY transaction_id
                             LIMIT 1`;

/** Finds the key in every state: a charge is reported even if its key no longer works. */
export const FIND_TRANSACTIONS = new Statement<LookupRow>(
  'find_transactions',
  sql`SELECT request.digest, request.transaction_id AS "requestedId", k.id AS "keyId", earlier.*
  FROM ${LOOKUPS.prepared('request')}
  LEFT JOIN LATERAL (SELECT api_key_id FROM superseded_secrets WHERE digest = request.digest LIMIT 1) AS s ON true
  LEFT JOIN LATERAL (SELECT id, user_id FROM api_keys WHERE secret_digest = request.digest
                     UNION ALL
                     SELECT id, user_id FROM api_keys WHERE id = s.api_key_id LIMIT 1) AS k ON true
  LEFT JOIN LATERAL (SELECT 'credit_entries' AS "table", ${ENTRY}
                       FROM (SELECT ${SELECTED_ENTRY}
                              FROM credit_entries
                             ${REQUESTED}) AS entry
                     UNION ALL
                     SELECT 'credit_holds', ${HOLD}
                       FROM (SELECT ${SELECTED_HOLD}
                              FROM credit_holds
                             ${REQUESTED}) AS hold
                      ORDER BY "table"
                      LIMIT 1) AS earlier ON true`,
);

/** Lookups of charges and holds by the secret of the key for which they were made. */
@Injectable()
export class EarlierTransactions {
  private readonly lookups: StatementBatcher<Lookup, LookupRow>;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    counters: Counters,
  ) {
    const findAll = async (lookups: readonly Lookup[]): Promise<LookupRow[]> => {
      const found = await FIND_TRANSACTIONS.run(this.database, LOOKUPS.values(lookups));
      const rows = new Map(found.map((row) => [identify(row.digest, row.requestedId), row]));
      return lookups.map((lookup) => {
        const row = rows.get(identify(lookup.digest, lookup.transactionId));
        if (!row || found.length !== lookups.length) throw new IncompleteResultError();
        return row;
      });
    };
    this.lookups = new StatementBatcher({
      runMany: findAll,
      runOne: async (lookup) => firstOf(await findAll([lookup])),
      onBatch: counters.batchSizeOf('find_transactions'),
    });
    counters.watchQueue('find_transactions', this.lookups);
  }

  /**
   * Finds the earlier use of a charge's transaction id by the owner of a key, which may no longer
   * work, for example because its prefix is no longer listed. Lookups of the same moment share a
   * statement, and a text in another format costs no SQL.
   *
   * @returns null if a charge with that id can still be made, or the key is unknown
   */
  async findCharge(
    key: string,
    { amount, transactionId, transactionType = DEFAULT_TRANSACTION_TYPE }: Transaction,
  ): Promise<EarlierTransaction | null> {
    const row = await this.find(key, transactionId);
    if (!row?.table) return null;
    if (row.table === 'credit_holds') return row.status === 'OPEN' ? TAKEN : null;
    const entry = toEntry(row);
    const isSame =
      entry.apiKeyId === row.keyId && entry.credits === -amount && entry.transactionType === transactionType;
    return isSame ? { charge: entry, hold: null } : TAKEN;
  }

  /**
   * Like `findCharge`, for the transaction id of a hold. A hold that has ended does not count as
   * the same hold.
   *
   * @returns null if a hold with that id can still be made, or the key is unknown
   */
  async findHold(
    key: string,
    {
      amount,
      transactionId,
      transactionType = DEFAULT_TRANSACTION_TYPE,
      expiresInSeconds: seconds = DEFAULT_HOLD_SECONDS,
    }: HoldTransaction,
  ): Promise<EarlierTransaction | null> {
    const row = await this.find(key, transactionId);
    if (!row?.table) return null;
    if (row.table === 'credit_entries') return TAKEN;
    const hold = toHold(row);
    const isSame = isHoldOf(hold, { hold: { amount, seconds }, transactionType, apiKeyId: row.keyId });
    return isSame && hold.status === 'OPEN' ? { charge: null, hold } : TAKEN;
  }

  private async find(key: string, transactionId: string): Promise<LookupRow | null> {
    return isApiKeyOfAnyPrefix(key) ? this.lookups.run({ digest: digestOf(key), transactionId }) : null;
  }
}

/** The id belongs to another charge or hold than the requested one. */
const TAKEN: EarlierTransaction = { charge: null, hold: null };

const identify = (digest: Buffer, transactionId: string): string => `${digest.toString('latin1')} ${transactionId}`;
