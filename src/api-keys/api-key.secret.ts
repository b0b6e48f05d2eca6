import { createHash } from 'node:crypto';

/**
 * The digest that the database stores. A slow hash would add no security to 256 random bits, and a
 * cost to every request.
 */
export const digestOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();
