import sql, { type Sql } from 'sql-template-tag';

/**
 * The credits of an account that are held now, without those of expired holds. Holds are read only
 * for an account with a counter above 0. The expression is here because the lookup of a key needs
 * it, and this folder must not import the ledger.
 *
 * @param account the table or alias with the row of the user
 */
export const heldCredits = (account: Sql): Sql => sql`CASE WHEN ${account}.credits_held = 0 THEN 0
              ELSE ${account}.credits_held - (SELECT coalesce(sum(amount), 0) FROM credit_holds
                                          WHERE user_id = ${account}.id AND status = 'OPEN' AND expires_at <= statement_timestamp()) END`;
