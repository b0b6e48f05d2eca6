import { createHash } from 'node:crypto';

/** Enough to recognise a key in a list; 38 of its 43 random characters stay secret. */
const PREFIX_LENGTH = 8;

/** What the database keeps of a key. A slow hash would buy nothing for 256 random bits, and cost every request. */
export const digestOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** The first characters of a key, `ua_` included: shown to its owner, useless to anyone else. */
export const prefixOf = (secret: string): string => secret.slice(0, PREFIX_LENGTH);
