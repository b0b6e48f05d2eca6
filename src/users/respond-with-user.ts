import type { Response } from 'express';
import { entityTag } from '../common/http/entity-tag.js';
import type { User } from './user.entity.js';

/**
 * Responds with a user and its `ETag`. Express sends 304 if the `ETag` matches the caller's
 * `If-None-Match`.
 *
 * @param type the class of the response body
 */
export function respondWithUser<R>(user: User, type: { from(user: User): R }, response: Response): R {
  // Express ignores `If-None-Match` if the request has `Cache-Control: no-cache`, which `fetch`
  // adds.
  delete response.req.headers['cache-control'];
  response.setHeader('ETag', entityTag(user));
  return type.from(user);
}
