import { EXAMPLE_USER_ID, UUID, UUID_SCHEMA } from '../common/validation/uuid.js';
import { API_KEY_NAME, API_KEY_NAME_IN_PATH, MAX_API_KEY_NAME_LENGTH } from './api-key-rules.js';
import type { PathParameter } from './operation.decorator.js';

/* The path parameters of several controllers. */

export const KEY_NAME: PathParameter = {
  pattern: API_KEY_NAME_IN_PATH,
  description: 'The name of a key; not "current"',
  example: 'laptop',
  schema: { pattern: API_KEY_NAME, maxLength: MAX_API_KEY_NAME_LENGTH },
};

export const USER_ID: PathParameter = {
  pattern: UUID,
  description: 'The id of a user',
  example: EXAMPLE_USER_ID,
  schema: UUID_SCHEMA,
};
