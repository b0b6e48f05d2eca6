import sql, { type Sql } from 'sql-template-tag';
import type { Period } from '../common/validation/period.js';

/** The conditions of rows whose `created_at` is in a period. */
export const createdWithin = ({ startDate, endDate }: Period): Sql[] => [
  ...(startDate === undefined ? [] : [sql`created_at >= ${startDate}::date::timestamp AT TIME ZONE 'UTC'`]),
  ...(endDate === undefined ? [] : [sql`created_at < (${endDate}::date + 1)::timestamp AT TIME ZONE 'UTC'`]),
];
