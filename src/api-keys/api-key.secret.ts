import { createHash } from 'node:crypto';

/**
 * The digest that the database stores. For 256 random bits, a slow hash would add no security, but
 * would slow down every request.
 */
export const digestOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();
