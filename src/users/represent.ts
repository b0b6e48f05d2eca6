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
  // One URL may serve many callers, so a cache must keep their answers apart and ask before it uses one.
  response.set({ ETag: entityTag(user), 'Cache-Control': 'private, no-cache', Vary: 'x-api-key' });
  return UserResponse.from(user);
}
