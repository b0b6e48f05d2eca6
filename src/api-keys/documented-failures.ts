import type { Examples } from '../common/docs/responses.js';
import {
  ApiKeyExpiryError,
  ApiKeyNameTakenError,
  ApiKeyNotActiveError,
  ApiKeyNotFoundError,
  HigherRateLimitError,
  InvalidApiKeyNameError,
  InvalidRateLimitError,
  RateLimitReservedError,
  StrongerKeyError,
  SupersededSecretError,
  TooManyApiKeysError,
} from './api-keys.errors.js';

/* Failures of several routes, as examples in the document. */

export const KEY_NOT_FOUND: Examples = { api_key: new ApiKeyNotFoundError() };

export const KEY_EXPIRY_PASSED: Examples = { expiry: new ApiKeyExpiryError() };

export const KEY_NOT_ACTIVE: Examples = { status: new ApiKeyNotActiveError('REVOKED') };

/** Failures of requests that set the name and the expiry of a key. */
export const KEY_REFUSED: Examples = {
  name: new InvalidApiKeyNameError(),
  ...KEY_EXPIRY_PASSED,
  name_taken: new ApiKeyNameTakenError('laptop'),
};

/** Failures of requests that create, change or rotate a key. */
export const STRONGER_KEY: Examples = {
  stronger: new StrongerKeyError(),
  superseded: new SupersededSecretError(),
};

export const INVALID_RATE_LIMIT: Examples = { rate_limit: new InvalidRateLimitError('key') };

/** Failures of users' requests that set the rate limit of a key. */
export const RATE_LIMIT_REFUSED: Examples = { ...INVALID_RATE_LIMIT, reserved: new RateLimitReservedError() };

export const HIGHER_RATE_LIMIT: Examples = { higher: new HigherRateLimitError() };

export const KEY_LIMIT: Examples = { limit: new TooManyApiKeysError() };
