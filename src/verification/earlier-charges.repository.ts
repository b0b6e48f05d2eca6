import { Injectable } from '@nestjs/common';
import sql from 'sql-template-tag';
import { DataSource } from 'typeorm';
import { digestOf } from '../api-keys/api-key.secret.js';
import { isApiKeyOfAnyPrefix } from '../common/api-key-format.js';
import { Counters } from '../common/counters/counters.js';
import type { CreditEntry } from '../credits/credit-entry.entity.js';
import { type EntryRow, SELECTED_ENTRY, toEntry } from '../credits/credits.statements.js';
import type { Transaction } from '../credits/credits.service.js';
import { DEFAULT_TRANSACTION_TYPE } from '../credits/transaction-type.js';
import { InjectDatabase } from '../database/inject-database.decorator.js';
import { Rows } from '../database/rows.js';
import { firstOf, IncompleteResultError, Statement } from '../database/statement.js';
import { StatementBatcher } from '../database/statement-batcher.js';

/** What became of a transaction id of the owner of a key. */
export interface EarlierCharge {
  /** The entry of the same charge by the same key; null where the id stands for anything else. */
  readonly entry: CreditEntry | null;
}

interface Lookup {
  readonly digest: Buffer;
  readonly transactionId: string;
}

/** The columns of the entry are null where there is none. */
type LookupRow = { readonly digest: Buffer; readonly requestedId: string; readonly keyId: string | null } & (
  EntryRow | { readonly id: null }
);

const LOOKUPS = new Rows<Lookup>({
  digest: ['bytea', ({ digest }) => digest],
  transaction_id: ['text', ({ transactionId }) => transactionId],
});

/**
 * Finds the key in every state: an entry is told of also where its key works no longer. With
 * `BETWEEN … ORDER BY` one index only has the order: see `moveAll` in the ledger.
 */
export const FIND_CHARGES = new Statement<LookupRow>(
  'find_charges',
  sql`SELECT request.digest, request.transaction_id AS "requestedId", k.id AS "keyId", ${SELECTED_ENTRY}
  FROM ${LOOKUPS.prepared('request')}
  LEFT JOIN LATERAL (SELECT api_key_id FROM superseded_secrets WHERE digest = request.digest LIMIT 1) AS s ON true
  LEFT JOIN LATERAL (SELECT id, user_id FROM api_keys WHERE secret_digest = request.digest
                     UNION ALL
                     SELECT id, user_id FROM api_keys WHERE id = s.api_key_id LIMIT 1) AS k ON true
  LEFT JOIN LATERAL (SELECT * FROM credit_entries
                      WHERE user_id = k.user_id
                        AND transaction_id BETWEEN request.transaction_id AND request.transaction_id
                      ORDER BY transaction_id
                      LIMIT 1) AS credit_entries ON true`,
);

/** Lookups of charges by the secret of the key that was charged for. */
@Injectable()
export class EarlierCharges {
  private readonly lookups: StatementBatcher<Lookup, LookupRow>;

  constructor(
    @InjectDatabase() private readonly database: DataSource,
    counters: Counters,
  ) {
    const findAll = async (lookups: readonly Lookup[]): Promise<LookupRow[]> => {
      const found = await FIND_CHARGES.run(this.database, LOOKUPS.values(lookups));
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
      onBatch: counters.batchSizeOf('find_charges'),
    });
    counters.watchQueue('find_charges', this.lookups);
  }

  /**
   * What became of the transaction id of a charge, of the owner of a key that may work no longer.
   * Lookups of the same moment share a statement, and a text of another shape costs no SQL.
   * A prefix that is not listed any more is one of the reasons for which a key works no longer.
   *
   * @returns null where the owner has no transaction of that id, or the key is unknown
   */
  async find(key: string, { amount, transactionId, transactionType }: Transaction): Promise<EarlierCharge | null> {
    if (!isApiKeyOfAnyPrefix(key)) return null;
    const row = await this.lookups.run({ digest: digestOf(key), transactionId });
    if (row.id === null) return null;
    const entry = toEntry(row);
    const isSame =
      entry.apiKeyId === row.keyId &&
      entry.credits === -amount &&
      entry.transactionType === (transactionType ?? DEFAULT_TRANSACTION_TYPE);
    return { entry: isSame ? entry : null };
  }
}

const identify = (digest: Buffer, transactionId: string): string => `${digest.toString('latin1')} ${transactionId}`;
