import type { IncomingHttpHeaders } from 'node:http';
import { isVersion } from '../validation/version.js';

/**
 * A strong validator (RFC 9110, section 8.8.3) for one version of one row; no two rows share one.
 */
export const entityTag = (row: { readonly id: string; readonly version: string }): string =>
  `"${row.id}.${row.version}"`;

/**
 * The versions of a row that an `If-Match` header accepts (RFC 9110, section 13.1.1).
 *
 * @param id of the row, in upper or lower case
 * @returns undefined if any version matches (no header, or `*`); empty if none can match: weak
 *   tags, tags of other rows, and text that is not an entity tag, because a condition that cannot
 *   be read must not count as met
 */
export function versionsMatching(ifMatch: string | undefined, id: string): string[] | undefined {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
  const own = new RegExp(`^"${id.toLowerCase()}\\.(\\d+)"$`);
  return ifMatch
    .split(',')
    .map((tag) => own.exec(tag.trim())?.[1])
    .filter(isVersion);
}

/**
 * The versions of a row that an `If-None-Match` header names (RFC 9110, section 13.1.2), for a
 * write that must match none of them; `*` for any version. Weak tags count, too; text that is not
 * an entity tag does not.
 */
export function versionsExcluded(ifNoneMatch: string | undefined, id: string): string[] | '*' {
  if (ifNoneMatch === undefined) return [];
  const tags = ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.includes('*') ? '*' : (versionsMatching(tags.join(), id) ?? []);
}

/**
 * The versions of a row in which the conditional headers of a request allow a change, and those in
 * which they forbid it.
 */
export const conditionsOf = (
  { 'if-match': ifMatch, 'if-none-match': ifNoneMatch }: IncomingHttpHeaders,
  id: string,
): { ifVersions: string[] | undefined; unlessVersions: string[] | '*' } => ({
  ifVersions: versionsMatching(ifMatch, id),
  unlessVersions: versionsExcluded(ifNoneMatch, id),
});
