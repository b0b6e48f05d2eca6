/* What another Nest application may import. */

export { ApiKeysService, type ApiKeyRequest, type KeyWithSecret } from './api-keys/api-keys.service.js';
export * from './api-keys/api-keys.errors.js';
export { Administrators, Authenticated, CurrentUser } from './api-keys/authenticated.decorator.js';
export type { Principal } from './api-keys/principal.js';
export { type Actor, APPLICATION } from './common/audit/actor.js';
export { DomainError, type ErrorKind, STATUS_OF } from './common/errors/domain.error.js';
export { ErrorFilter } from './common/errors/error.filter.js';
export { Metrics } from './common/metrics/metrics.js';
export type { CreditEntry, TransactionType } from './credits/credit-entry.entity.js';
export * from './credits/credits.errors.js';
export { type CreditRequest, CreditsService, type Receipt } from './credits/credits.service.js';
export { poolOptions } from './database/data-source.options.js';
export { MIGRATIONS } from './database/migrations.js';
export { ENTITIES } from './entities.js';
export { User, type UserStatus } from './users/user.entity.js';
export * from './users/users.errors.js';
export { type ProfileChanges, type UserRequest, UsersService } from './users/users.service.js';
export { type UsersApiComposition, UsersApiModule } from './users-api.module.js';
export type { UsersApiOptions } from './config/users-api.options.js';
