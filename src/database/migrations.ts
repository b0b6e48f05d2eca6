import { RefuseOtherTables1767225540000 } from '../../migrations/1767225540000-refuse-other-tables.js';
import { CreateUsers1767225600000 } from '../../migrations/1767225600000-create-users.js';
import { CreateApiKeys1767225660000 } from '../../migrations/1767225660000-create-api-keys.js';
import { CreateAuditEvents1767225720000 } from '../../migrations/1767225720000-create-audit-events.js';
import { CreateCreditEntries1767225780000 } from '../../migrations/1767225780000-create-credit-entries.js';
import { IndexUsersByStatus1767225840000 } from '../../migrations/1767225840000-index-users-by-status.js';
import { LightenChanges1767225960000 } from '../../migrations/1767225960000-lighten-changes.js';
import { ReplaceNewLineSeparators1767226080000 } from '../../migrations/1767226080000-replace-new-line-separators.js';
import { ReplaceStoredLineSeparators1767226140000 } from '../../migrations/1767226140000-replace-stored-line-separators.js';
import { RefuseLineSeparators1767226200000 } from '../../migrations/1767226200000-refuse-line-separators.js';
import { ValidateUserNames1767226260000 } from '../../migrations/1767226260000-validate-user-names.js';
import { FreeTransactionTypes1767226320000 } from '../../migrations/1767226320000-free-transaction-types.js';
import { ValidateTransactionTypes1767226380000 } from '../../migrations/1767226380000-validate-transaction-types.js';
import { AddScopes1767226440000 } from '../../migrations/1767226440000-add-scopes.js';
import { ValidateScopes1767226500000 } from '../../migrations/1767226500000-validate-scopes.js';
import { AddKeysOfCreditEntries1767226560000 } from '../../migrations/1767226560000-add-keys-of-credit-entries.js';
import { IndexKeyPrefixes1767226800000 } from '../../migrations/1767226800000-index-key-prefixes.js';
import { WidenKeyPrefixes1767226860000 } from '../../migrations/1767226860000-widen-key-prefixes.js';
import { ValidateKeyPrefixes1767226920000 } from '../../migrations/1767226920000-validate-key-prefixes.js';
import { AddRateLimits1767227160000 } from '../../migrations/1767227160000-add-rate-limits.js';
import { IndexEventsByKey1767227280000 } from '../../migrations/1767227280000-index-events-by-key.js';
import { ValidateRateLimits1767227220000 } from '../../migrations/1767227220000-validate-rate-limits.js';
import { AddHolds1767227340000 } from '../../migrations/1767227340000-add-holds.js';
import { ValidateHolds1767227400000 } from '../../migrations/1767227400000-validate-holds.js';
import { PrepareUserSearch1767227700000 } from '../../migrations/1767227700000-prepare-user-search.js';
import { ExplainChanges1767227760000 } from '../../migrations/1767227760000-explain-changes.js';
import { IndexUserSearch1767227820000 } from '../../migrations/1767227820000-index-user-search.js';
import { AllowErasuresAndArchives1767228000000 } from '../../migrations/1767228000000-allow-erasures-and-archives.js';
import { EraseUsers1767228060000 } from '../../migrations/1767228060000-erase-users.js';
import { RemoveArchivedEvents1767228120000 } from '../../migrations/1767228120000-remove-archived-events.js';
import { FoldDottedCapitalI1767228180000 } from '../../migrations/1767228180000-fold-dotted-capital-i.js';
import { IndexEndedHolds1767228240000 } from '../../migrations/1767228240000-index-ended-holds.js';

/** Every migration, oldest first. A test compares this list with the folder. */
export const MIGRATIONS = [
  RefuseOtherTables1767225540000,
  CreateUsers1767225600000,
  CreateApiKeys1767225660000,
  CreateAuditEvents1767225720000,
  CreateCreditEntries1767225780000,
  IndexUsersByStatus1767225840000,
  LightenChanges1767225960000,
  ReplaceNewLineSeparators1767226080000,
  ReplaceStoredLineSeparators1767226140000,
  RefuseLineSeparators1767226200000,
  ValidateUserNames1767226260000,
  FreeTransactionTypes1767226320000,
  ValidateTransactionTypes1767226380000,
  AddScopes1767226440000,
  ValidateScopes1767226500000,
  AddKeysOfCreditEntries1767226560000,
  IndexKeyPrefixes1767226800000,
  WidenKeyPrefixes1767226860000,
  ValidateKeyPrefixes1767226920000,
  AddRateLimits1767227160000,
  ValidateRateLimits1767227220000,
  IndexEventsByKey1767227280000,
  AddHolds1767227340000,
  ValidateHolds1767227400000,
  PrepareUserSearch1767227700000,
  ExplainChanges1767227760000,
  IndexUserSearch1767227820000,
  AllowErasuresAndArchives1767228000000,
  EraseUsers1767228060000,
  RemoveArchivedEvents1767228120000,
  FoldDottedCapitalI1767228180000,
  IndexEndedHolds1767228240000,
];
