import type { Request } from 'express';

/**
 * The path of a member of the collection that the request addressed, below any prefix of the
 * application.
 */
export const locationOf = ({ originalUrl }: Request, member: string): string =>
  `${new URL(originalUrl, 'http://relative').pathname.replace(/\/$/, '')}/${member}`;
