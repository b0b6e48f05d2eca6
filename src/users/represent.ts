import type { Response } from 'express';
import { entityTag } from '../common/http/entity-tag.js';
import { UserResponse } from './dto/user.response.js';
import type { User } from './user.entity.js';

/**
 * Answers a user, with its `ETag`. Express answers 304 by itself where that meets the caller's `If-None-Match`.
 */
export function represent(user: User, response: Response): UserResponse {
  // It would pass over `If-None-Match` where the caller also sends no-cache, as `fetch` does by itself.
  delete response.req.headers['cache-control'];
  response.setHeader('ETag', entityTag(user));
  return UserResponse.from(user);
}
