/**
 * Control characters (C0, DEL, C1), line and paragraph separators, and the characters that reorder
 * text: characters that a terminal interprets, or that make a line look different from its content.
 */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/**
 * Text from callers, safe for a terminal: it can neither move the cursor nor forge a line. Every
 * unsafe character becomes its JSON escape, such as `\u001b`; all of them are in the basic plane.
 */
export const visible = (text: string): string =>
  text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Like `visible`, but keeps line feeds, which must not come from values. */
export const visibleLines = (text: string): string => text.split('\n').map(visible).join('\n');

/** A number with its noun: `1 line`, `2 lines`. */
export const counted = (count: number, noun: string): string => `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
