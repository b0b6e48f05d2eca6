import type { Examples } from '../common/docs/responses.js';
import { InvalidUserNameError, UserChangedError, UserMatchesError } from './users.errors.js';

/* Failures of several routes, as examples in the document. */

export const NAME_NOT_TEXT: Examples = { name: new InvalidUserNameError('name must be a string') };

export const VERSION_MISMATCH: Examples = { version: new UserChangedError(), none_match: new UserMatchesError() };
