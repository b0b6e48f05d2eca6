import { ApiKey } from './api-keys/api-key.entity.js';
import { SupersededSecret } from './api-keys/superseded-secret.entity.js';
import { AuditEvent } from './audit/audit-event.entity.js';
import { CreditEntry } from './credits/credit-entry.entity.js';
import { CreditHold } from './credits/holds/credit-hold.entity.js';
import { User } from './users/user.entity.js';

/**
 * Every table but those that the search derives from `users`: for the migration command line, for
 * the data source of a host application, and for `users-api move`, which copies them in this order.
 * A table follows those that it refers to.
 */
export const ENTITIES = [User, ApiKey, SupersededSecret, AuditEvent, CreditEntry, CreditHold];
