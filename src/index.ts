/* What another Nest application may import. */

export { ApiKeysModule } from './api-keys/api-keys.module.js';
export { ApiKeysService, type ApiKeyRequest } from './api-keys/api-keys.service.js';
export * from './api-keys/api-keys.errors.js';
export { Authenticated, CurrentUser } from './api-keys/authenticated.decorator.js';
export type { Principal } from './api-keys/principal.js';
export type { CreditEntry, TransactionType } from './credits/credit-entry.entity.js';
export * from './credits/credits.errors.js';
export { CreditsModule } from './credits/credits.module.js';
export { type CreditRequest, CreditsService, type Receipt } from './credits/credits.service.js';
export { DomainError, type ErrorKind, STATUS_OF } from './common/errors/domain.error.js';
export { ErrorFilter } from './common/errors/error.filter.js';
export { ENTITIES } from './entities.js';
export { MIGRATIONS } from './database/migrations.js';
export type { User, UserStatus } from './users/user.entity.js';
export * from './users/users.errors.js';
export { UsersModule } from './users/users.module.js';
export { type ProfileChanges, type UserRequest, UsersService } from './users/users.service.js';
