import { createHash } from 'node:crypto';

/** Enough to recognize a key in a list; 38 of the 43 random characters stay secret. */
const PREFIX_LENGTH = 8;

/**
 * The digest that the database stores. A slow hash would add no security to 256 random bits, and a
 * cost to every request.
 */
export const digestOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** The first characters of a key, `ua_` included, which are shown in lists. */
export const prefixOf = (secret: string): string => secret.slice(0, PREFIX_LENGTH);
