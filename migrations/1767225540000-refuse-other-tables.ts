import type { MigrationInterface } from 'typeorm';
import { UnsuitableHostError } from '../src/common/errors/unsuitable-host.error.js';

/**
 * Refuses a schema in which another application has a table with the name of one of these tables,
 * before a later statement would fail because of it. Changes nothing, and also passes if the tables
 * belong to this application: they are recognized by their named constraints.
 */
export class RefuseOtherTables1767225540000 implements MigrationInterface {
  async up(runner: { query(statement: string): Promise<unknown> }): Promise<void> {
    const others = (await runner.query(
      `SELECT name
         FROM (VALUES ('users', 'ck_users_credits_balance'),
                      ('api_keys', 'ck_api_keys_digest'),
                      ('superseded_secrets', 'ck_superseded_secrets_digest'),
                      ('audit_events', 'ck_audit_events_actor'),
                      ('credit_entries', 'ck_credit_entries_credits')) AS ours (name, ck)
        WHERE to_regclass(name) IS NOT NULL
          AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(name) AND conname = ck)
        ORDER BY name`,
    )) as { name: string }[];
    if (others.length === 0) return;
    throw new UnsuitableHostError(
      `The schema has tables of another application with names of ours (${others.map(({ name }) => name).join(', ')}): use another database, or another schema by search_path, ` +
        "in DATABASE_URL as ?options=-c%20search_path%3Daccounts, in a host application as extra: { options: '-c search_path=accounts' } of a connection of its own, which the option dataSource names.",
    );
  }

  async down(): Promise<void> {
    return Promise.resolve();
  }
}
