import { redactKeys } from '../api-key-format.js';
import { DomainError } from '../errors/domain.error.js';

export class InvalidJsonError extends DomainError {
  readonly kind = 'invalid';
}

/** Levels. Our bodies have one; what reads them by recursion needs a bound. */
const MAX_DEPTH = 32;

export class TooDeepError extends InvalidJsonError {
  constructor(whole = 'The body') {
    super(`${whole} must not be nested more than ${String(MAX_DEPTH)} levels deep`);
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads one JSON object (RFC 8259), more strictly than `JSON.parse` alone: the bytes must be UTF-8, no object may name
 * a property twice, since of two values one would be lost without a word, and no number may become an integer by being
 * rounded, since credits are counted.
 *
 * @param whole what messages call the text
 * @throws InvalidJsonError for anything else; its message never repeats the text
 */
export function parseJsonObject(bytes: Buffer, whole = 'The body'): Record<string, unknown> {
  const text = decode(bytes, whole);
  if (text.trim() === '') throw new InvalidJsonError(`${whole} must be a JSON object, but it is empty`);
  const value = parse(text, whole);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidJsonError(`${whole} must be a JSON object`);
  }
  refuseLosses(text, whole);
  return value as Record<string, unknown>;
}

/** A property name for a message: quoted, cut after 64 characters, so that a caller cannot make us repeat its body or a key. */
export function quoted(name: string): string {
  const shown = redactKeys(name);
  return JSON.stringify(shown.length > 64 ? `${shown.slice(0, 64)}…` : shown);
}

function decode(bytes: Buffer, whole: string): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new InvalidJsonError(`${whole} must be in UTF-8`);
  }
}

function parse(text: string, whole: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new InvalidJsonError(`${whole} must be valid JSON`);
  }
}

/**
 * `JSON.parse` keeps the last of two properties of one name, and the double that is next to a number. No parser that reports
 * both is maintained and quick, so this walks the strings, numbers and brackets of a text already known to be valid, in one pass.
 */
function refuseLosses(text: string, whole: string): void {
  const open: Set<string>[] = [];
  for (const [token, string, colon, number] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*(:)?|(-?\d[\d.eE+-]*)|[{}[\]]/g)) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (number !== undefined) {
      if (isRounded(number)) throw new InvalidJsonError(`${whole} has a number with more digits than can be kept`);
    } else if (colon && string !== undefined) {
      const name = JSON.parse(string) as string;
      const names = open.at(-1);
      if (names?.has(name)) throw new InvalidJsonError(`${whole} gives the property ${quoted(name)} twice`);
      names?.add(name);
    }
    if (open.length > MAX_DEPTH) throw new TooDeepError(whole);
  }
}

/** Whether a number would be read as an integer that it is not. Beyond 2^53 no integer is exact, and none of ours. */
function isRounded(number: string): boolean {
  const read = Number(number);
  return Number.isSafeInteger(read) && digitsOf(number) !== digitsOf(String(read));
}

/** The digits that count, as an integer, and the power of ten it is multiplied by: the same for each way to write one number. */
function digitsOf(number: string): string {
  const [, whole = '', fraction = '', power = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  let end = digits.length; // a pattern for zeros at the end would take the square of their number
  while (digits.charAt(end - 1) === '0') end -= 1;
  return end === 0 ? '' : `${digits.slice(0, end)}e${String(Number(power) - fraction.length + digits.length - end)}`;
}
