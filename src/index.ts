/* Exports for other Nest applications. */

export {
  ApiKeysService,
  type ApiKeyRequest,
  type KeyWithSecret,
  type RotationRequest,
} from './api-keys/api-keys.service.js';
export type { ApiKeyFilter } from './api-keys/api-key-lists.repository.js';
export type { ApiKeyChanges } from './api-keys/api-keys.repository.js';
export type { ApiKeyStatus, KeyView } from './api-keys/key-view.js';
export * from './api-keys/api-keys.errors.js';
export { ApiKeyGuard, type AuthenticatedRequest } from './api-keys/api-key.guard.js';
export { AuthenticationService } from './api-keys/authentication.service.js';
export type { RateLimitState } from './api-keys/rate-limit.headers.js';
export { type LeakedSecret, LeakedSecretsService } from './api-keys/leaked-secrets.service.js';
export { type LimitedKey, type RateLimitOutcome, RateLimits } from './api-keys/rate-limits.service.js';
export { Administrators, Authenticated, CurrentUser } from './api-keys/authenticated.decorator.js';
export type { Principal } from './api-keys/principal.js';
export { type Actor, APPLICATION, InvalidActorError } from './audit-trail/actor.js';
export type { AuditOptions, ChangeOptions, TransactionOptions } from './audit-trail/change-options.js';
export { API_KEY_SCHEME } from './common/docs/names.js';
export { type DescriptionOptions, describeUsersApi } from './common/docs/openapi.js';
export { DomainError, type ErrorKind, STATUS_OF } from './common/errors/domain.error.js';
export { DomainErrorFilter, ErrorFilter } from './common/errors/error.filter.js';
export type { Cursor } from './common/pagination/cursor.js';
export { InvalidPageWindowError, type Page, PageOutOfReachError, type PageWindow } from './common/pagination/page.js';
export { Counters } from './common/counters/counters.js';
export type { CreditEntry } from './credits/credit-entry.entity.js';
export type { CreditFilter, Difference, HoldFilter } from './credits/credits.repository.js';
export * from './credits/credits.errors.js';
export {
  type Balance,
  type CreditRequest,
  CreditsService,
  type HoldReceipt,
  type HoldRequest,
  type HoldTransaction,
  type Receipt,
  type Transaction,
} from './credits/credits.service.js';
export type { CreditHold, HoldStatus } from './credits/holds/credit-hold.entity.js';
export {
  type ApiKeyEvent,
  type CreditsEvent,
  type UserEvent,
  type UsersApiEvent,
  UsersApiEvents,
} from './events/users-api-events.js';
export { poolOptions, type PoolSettings, type PostgresOptions } from './database/data-source.options.js';
export { IncompleteResultError } from './database/statement.js';
export { UnsuitableSettingsError } from './database/session-settings.js';
export { MIGRATIONS } from './database/migrations.js';
export { ENTITIES } from './entities.js';
export { User, type UserStatus } from './users/user.entity.js';
export * from './users/users.errors.js';
export type { UserFilter } from './users/users.repository.js';
export type { UserChanges } from './users/users.statements.js';
export {
  type CreatedListener,
  type ProfileChanges,
  type UpdateOptions,
  type UserRequest,
  UsersService,
} from './users/users.service.js';
export {
  type Verification,
  type VerificationRefusal,
  type VerificationRequest,
  VerificationService,
  type VerifiedKey,
} from './verification/verification.service.js';
export { ChargeAndHoldError } from './verification/verification.errors.js';
export { UnsuitableHostError } from './common/errors/unsuitable-host.error.js';
export { type UsersApiComposition, UsersApiModule, type UsersApiRoutes } from './users-api.module.js';
export { InvalidUsersApiOptionsError, type UsersApiOptions } from './config/users-api.options.js';
