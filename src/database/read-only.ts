import type { DataSource } from 'typeorm';
import type { BoundedPool } from './bounded-pool.js';

/**
 * Whether the server or the session is read-only. If so, the pool is notified and replaces its
 * connections: the server may be a demoted primary.
 */
export async function isReadOnly(database: DataSource): Promise<boolean> {
  const [{ setting }] = await database.query<[{ setting: string }]>(
    `SELECT current_setting('transaction_read_only') AS setting`,
  );
  if (setting !== 'on') return false;
  // The pool of a host application may not be a `BoundedPool`.
  (database.driver as unknown as { readonly master: Partial<BoundedPool> }).master.markReadOnly?.();
  return true;
}
