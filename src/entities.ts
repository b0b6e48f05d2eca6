import { ApiKey } from './api-keys/api-key.entity.js';
import { SupersededSecret } from './api-keys/superseded-secret.entity.js';
import { AuditEvent } from './audit/audit-event.entity.js';
import { CreditEntry } from './credits/credit-entry.entity.js';
import { CreditHold } from './credits/holds/credit-hold.entity.js';
import { User } from './users/user.entity.js';

/**
 * Every table except those that the search derives from `users`. Used by the migration command
 * line, by the data source of a host application, and by `users-api move`, which copies the tables
 * in this order: each table follows the tables that it refers to.
 */
export const ENTITIES = [User, ApiKey, SupersededSecret, AuditEvent, CreditEntry, CreditHold];
