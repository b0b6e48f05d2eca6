import type { Request } from 'express';

/** The path of a member of the collection that was asked, wherever the application serves that. */
export const locationOf = ({ originalUrl }: Request, member: string): string =>
  `${new URL(originalUrl, 'http://relative').pathname.replace(/\/$/, '')}/${member}`;
