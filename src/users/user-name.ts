import { InvalidUserNameError } from './users.errors.js';

/*
 * The rule for a user's name, in one place: the code, the database constraint and the OpenAPI
 * document are all derived from the ranges below. They are listed as code points, not as Unicode
 * properties, because Node and PostgreSQL have different versions of Unicode, in which a property
 * may contain different characters.
 */

type Range = readonly [first: number, last: number];

export const MAX_NAME_LENGTH = 255;

/**
 * Refused anywhere in a name: control characters (Cc), line breaks, and characters that reorder
 * displayed text.
 */
const FORBIDDEN: readonly Range[] = [
  [0x0000, 0x001f], // C0 controls, NUL included
  [0x007f, 0x009f], // DEL and C1 controls
  [0x2028, 0x2029], // line and paragraph separators
  [0x202a, 0x202e], // bidirectional embeddings and overrides
  [0x2066, 0x2069], // bidirectional isolates
];

/** Never part of a well-formed text; PostgreSQL cannot store them. */
const SURROGATES: Range = [0xd800, 0xdfff];

/** What `String.prototype.trim` removes (ECMA-262, WhiteSpace), except forbidden characters. */
const SPACES: readonly Range[] = [
  [0x0020, 0x0020],
  [0x00a0, 0x00a0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];

/**
 * Characters that are invisible by themselves: Default_Ignorable_Code_Point of Unicode 17, blank
 * glyphs, format characters, noncharacters.
 */
const INVISIBLE: readonly Range[] = [
  [0x00ad, 0x00ad], // soft hyphen
  [0x034f, 0x034f], // combining grapheme joiner
  [0x061c, 0x061c], // Arabic letter mark
  [0x115f, 0x1160], // Hangul fillers
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f], // zero-width space and joiners, direction marks
  [0x2060, 0x206f],
  [0x2800, 0x2800], // Braille blank
  [0x3164, 0x3164], // Hangul filler
  [0xfdd0, 0xfdef], // noncharacters
  [0xfe00, 0xfe0f], // variation selectors
  [0xffa0, 0xffa0], // half-width Hangul filler
  [0xfff0, 0xfffb], // unassigned, interlinear annotation
  [0x13430, 0x1343f], // Egyptian format controls
  [0x1bca0, 0x1bca3],
  [0x1d159, 0x1d159], // musical null note head
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff], // tags, variation selectors supplement
  ...Array.from({ length: 17 }, (_, plane): Range => [plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff]),
];

const javaScriptEscape = (codePoint: number): string =>
  codePoint > 0xffff ? `\\u{${codePoint.toString(16)}}` : `\\u${codePoint.toString(16).padStart(4, '0')}`;

/** The escape in PostgreSQL (section 9.7.3.3 of its manual). */
const postgresEscape = (codePoint: number): string =>
  codePoint > 0xffff
    ? `\\U${codePoint.toString(16).padStart(8, '0')}`
    : `\\u${codePoint.toString(16).padStart(4, '0')}`;

function characters(ranges: readonly Range[], escape: (codePoint: number) => string): string {
  return ranges.map(([first, last]) => (first === last ? escape(first) : `${escape(first)}-${escape(last)}`)).join('');
}

/** Only allowed characters, at least one of them visible. */
function pattern(forbidden: readonly Range[], escape: (codePoint: number) => string): string {
  const none = characters(forbidden, escape);
  return `^[^${none}]*[^${none}${characters([...SPACES, ...INVISIBLE], escape)}][^${none}]*$`;
}

/**
 * A pattern of ECMA-262, for the `u` flag. Apart from the length, it is the whole rule for a
 * trimmed name.
 */
export const EXACT_NAME_PATTERN = pattern([...FORBIDDEN, SURROGATES], javaScriptEscape);

const WHOLE_NAME = new RegExp(EXACT_NAME_PATTERN, 'u');

/** The rule in words, for the document. */
export const NAME_RULE =
  'White space at both ends is removed (`String.prototype.trim` of ECMA-262), and the rest is normalized to Unicode NFC. ' +
  `What remains has 1 to ${String(MAX_NAME_LENGTH)} code points, at least one of them visible, and no control character (U+0000-U+001F, ` +
  'U+007F-U+009F), line or paragraph separator (U+2028, U+2029), bidirectional control (U+202A-U+202E, U+2066-U+2069) or lone surrogate. ' +
  '`pattern` is a simple check that refuses no valid name; `x-exact-pattern` is the whole rule for what remains, in ECMA-262 with the flag `u`.';

/**
 * For the document: accepts every name that a request may have, including white space at its ends,
 * and refuses most control characters. Each dialect of regular expressions can compile it, and an
 * engine that reads bytes gets the same result as one that reads characters.
 */
export const SIMPLE_NAME_PATTERN = '^[^\\x00-\\x08\\x0e-\\x1f\\x7f]+$';

/** The constraint `ck_users_name`. A text in PostgreSQL holds neither NUL nor surrogates. */
export const NAME_CHECK = [
  `char_length(name) BETWEEN 1 AND ${String(MAX_NAME_LENGTH)}`,
  'name IS NFC NORMALIZED',
  `name COLLATE "C" ~ '${pattern([[0x0001, 0x001f], ...FORBIDDEN.slice(1)], postgresEscape)}'`,
  `name COLLATE "C" !~ '^[${characters(SPACES, postgresEscape)}]|[${characters(SPACES, postgresEscape)}]$'`,
].join(' AND ');

/**
 * Converts a name to the form in which it is stored: trimmed, and in Unicode's composed form (NFC).
 * Nothing else is changed.
 *
 * @throws InvalidUserNameError unless the result has 1 to 255 code points, at least one of them
 *   visible, and no control character, line or paragraph separator, lone surrogate or bidirectional
 *   control
 */
export function parseUserName(raw: string): string {
  const trimmed = raw.trim();
  // The length is checked first: it limits the time of the pattern, and that of NFC, which is
  // quadratic. A decomposed character has at most four code points, of two code units each.
  const name = trimmed.length > 8 * MAX_NAME_LENGTH ? trimmed : trimmed.normalize('NFC');
  if (name.length > 2 * MAX_NAME_LENGTH || Array.from(name).length > MAX_NAME_LENGTH) {
    throw new InvalidUserNameError(`name must be at most ${String(MAX_NAME_LENGTH)} characters long`);
  }
  if (!WHOLE_NAME.test(name)) {
    throw new InvalidUserNameError(
      'name must have at least one visible character, and no control characters, line separators, lone surrogates or ' +
        'bidirectional controls',
    );
  }
  return name;
}
