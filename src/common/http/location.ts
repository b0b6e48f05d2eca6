import type { Request } from 'express';
import { publicBaseOf } from './public-url.js';

/**
 * The URL of a member of the collection that the request addressed: a path, below any prefix of the
 * application, or a whole URL if `PUBLIC_URL` is set.
 */
export const locationOf = (request: Request, member: string): string =>
  `${publicBaseOf(request)}${new URL(request.originalUrl, 'http://relative').pathname.replace(/\/$/, '')}/${member}`;
